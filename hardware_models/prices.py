"""Dated prices of rented cloud machines and of egress, and the GPUs' share of machine prices.

Tables ``prices``, ``gpu_hosts`` and ``egress_prices`` are from Google Cloud prices of 2026-07-30.
The price of a GPU alone is from the SkyPilot catalogue. A machine or an offer that the tables lack
raises UnknownNameError.
"""

from itertools import islice
from typing import Any, NamedTuple

import polars as pl

from hardware_models.errors import TableError, pick
from hardware_models.tables import accelerators, load_table, table_cache

_ON_DEMAND = "on-demand"
_REGION = "us-central1"


@table_cache
def _prices() -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """Return the rows of table ``prices`` by item, then by region and way of purchase."""
    result: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for row in load_table("prices").iter_rows(named=True):
        item, offers = row["item"], result.setdefault(row["item"], {})
        if (row["gpu"] is None) != (row["gpus"] == 0):
            raise TableError(
                f"prices: {item} has gpu={row['gpu'] or 'null'} and gpus={row['gpus']}; give both "
                "the board and how many there are, or no board and 0"
            )
        for other in islice(offers.values(), 1):
            for column in ("gpu", "gpus", "vcpus"):
                if row[column] != other[column]:
                    raise TableError(
                        f"prices: {item} has {column}={row[column]} in {row['region']}, and "
                        f"{other[column]} in {other['region']}; name another machine type"
                    )
        offers[row["region"], row["purchase"]] = row
    return result


@table_cache
def machines() -> tuple[str, ...]:
    """Return the names of the machine types that have a price."""
    # an item without CPUs is an attachable GPU, not a machine
    return tuple(item for item, offers in _prices().items() if _any(offers)["vcpus"])


def _any(offers: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    return next(iter(offers.values()))


def offers_of(machine: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of table ``prices`` for a machine, by region and way of purchase."""
    pick("machine", machine, machines())
    return _prices()[machine]


@table_cache
def machine_price_usd_per_hour(
    machine: str, purchase: str = _ON_DEMAND, region: str = _REGION
) -> float:
    """Return the price of a whole machine, in USD per hour.

    Args:
        machine: The machine type, such as ``"g2-standard-4"``.
        purchase: ``"on-demand"``, ``"spot"``, ``"1-year commit"`` or ``"3-year commit"``; not every
            machine has all of these in every region.
        region: The cloud region.
    """
    offers = offers_of(machine)
    pick(f"region of {machine}", region, dict.fromkeys(where for where, _ in offers))
    pick(
        f"purchase of {machine} in {region}",
        purchase,
        [how for where, how in offers if where == region],
    )
    return float(offers[region, purchase]["price_usd_per_hour"])


class PricedMachine(NamedTuple):
    """A machine type's virtual CPUs, its GPUs and their board, which is a name in `mig.boards`."""

    vcpus: int
    gpus: int
    gpu_board: str | None


@table_cache
def machine_type(machine: str) -> PricedMachine:
    """Look up a machine type."""
    row = _any(offers_of(machine))
    return PricedMachine(row["vcpus"], row["gpus"], row["gpu"])


@table_cache
def _vcpu_usd_per_hour(board: str) -> float:
    """Return the price of a virtual CPU with its memory, in machines with this board."""
    if board in accelerators():
        return accelerators()[board].price.vcpu_usd_per_hour
    hosts = load_table("gpu_hosts")
    known = dict(zip(hosts["board"], hosts["host"], strict=True))
    pick("gpu of table gpu_hosts", board, known)
    host = known[board]
    price = machine_price_usd_per_hour(host)
    vcpus, gpus, gpu = machine_type(host)
    if gpu is not None:
        item = f"{gpu} attached GPU"
        offers = _prices().get(item, {})
        on_demand = [offer for (_, how), offer in offers.items() if how == _ON_DEMAND]
        if not on_demand:
            raise TableError(
                f"gpu_hosts: {host}, the host of {board}, has a GPU whose price alone table prices "
                f"lacks (item {item!r}, purchase {_ON_DEMAND!r}); name a machine without a GPU"
            )
        alone = offers.get((_REGION, _ON_DEMAND), on_demand[0])
        price = max(0.0, price - gpus * float(alone["price_usd_per_hour"]))
    return price / vcpus


@table_cache
def gpu_share_of_price(machine: str) -> float:
    """Return the GPUs' fraction of a machine's price.

    The fraction is 1 - vCPUs x price of a vCPU / price of the machine, but at least 0. Prices are
    on-demand prices in us-central1, or else those of the first offer. The price of a vCPU is that
    of the machine that table ``gpu_hosts`` names for the board. This is n1-standard-1 for an L4, T4
    or V100. For an H100 it is assumed to be c3-standard-4, which has processors of the same family.
    For an A100, the price is that of an a2-highgpu-1g minus that of an A100-40GB alone (2.934
    USD/h), divided by the vCPUs. The cost of the larger memory and local SSDs in the hosts of an
    A100-80GB and an H100 is attributed to the GPU. For a board with an accelerator file, the file
    states the price of a vCPU.

    Raises:
        UnknownNameError: The machine, or a host for its board, is not in the tables.
        TableError: The host has a GPU itself, and the price of that GPU alone is not in the tables.
    """
    vcpus, _, board = machine_type(machine)
    if board is None:
        return 0.0
    host = vcpus * _vcpu_usd_per_hour(board)
    offers = offers_of(machine)
    price = float(offers.get((_REGION, _ON_DEMAND), _any(offers))["price_usd_per_hour"])
    return max(0.0, 1 - host / price)


@table_cache
def egress_usd_per_byte(region: str = _REGION, destination: str = "worldwide") -> float:
    """Return the price of a byte that leaves the cloud for the Internet, in USD.

    This is the price of the most expensive tier, the first TiB of a month, which is billed per GiB
    (2^30 bytes). A region without a price is assumed to have the price of us-central1.
    ``destination`` is ``"worldwide"``, ``"australia"`` or ``"china"``.

    Raises:
        UnknownNameError: The destination has no price.
        TableError: Neither the region nor us-central1 has a price.
    """
    own = region
    table = load_table("egress_prices").filter(pl.col("from_tib_per_month") == 0)
    region = region if region in table["region"] else _REGION
    there = table.filter(pl.col("region") == region)
    if there.is_empty():
        raise TableError(
            f"egress_prices: has no row of the first tier (from_tib_per_month=0) for {own!r}, nor "
            f"for {_REGION!r}, which stands for regions without"
        )
    pick(f"destination of egress from {region}", destination, there["destination"].to_list())
    price = there.filter(pl.col("destination") == destination)["price_usd_per_gib"].item()
    return float(price) / 2**30
