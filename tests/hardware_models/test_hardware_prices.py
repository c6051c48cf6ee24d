"""Prices: look-ups, and how much of a price pays for the GPUs."""

import polars as pl
import pytest

from hardware_models import prices
from hardware_models.errors import TableError, UnknownNameError
from hardware_models.gpu import mig
from hardware_models.tables import TableSet, UserTable, load_table, using_tables

GOOGLE = [machine for machine in prices.machines() if not machine.startswith("gpu-")]


def test_prices_by_machine_purchase_and_region():
    price = prices.machine_price_usd_per_hour
    assert price("a2-highgpu-1g") == 3.67339
    assert price("a2-highgpu-1g", "spot") == 1.92802
    assert price("g2-standard-4", "3-year commit") == 0.31807
    assert price("g2-standard-8", region="asia-northeast1") == 1.09622


@pytest.mark.parametrize("machine", GOOGLE)
def test_every_machine_has_a_spot_price(machine):
    assert prices.machine_price_usd_per_hour(machine, "spot") > 0


@pytest.mark.parametrize("machine", GOOGLE)
def test_commitments_and_spot_are_cheaper(machine):
    on_demand = prices.machine_price_usd_per_hour(machine)
    for purchase in ("spot", "1-year commit", "3-year commit"):
        try:
            other = prices.machine_price_usd_per_hour(machine, purchase)
        except UnknownNameError:
            continue
        assert other < on_demand


def test_machines_have_boards_that_can_be_partitioned():
    assert set(prices.machines()) == {
        "a2-highgpu-1g",
        "a2-highgpu-8g",
        "a2-ultragpu-1g",
        "a3-highgpu-1g",
        "a3-highgpu-8g",
        "g2-standard-4",
        "g2-standard-8",
        "g2-standard-48",
        "n1-standard-4+T4",
        "n1-standard-8+V100",
        "n1-standard-1",
        "n1-standard-4",
        "n1-standard-8",
        "n2-standard-4",
        "n2-standard-8",
        "c3-standard-4",
        "gpu-h200-sxm_1gpu-16vcpu-200gb",
        "gpu-h200-sxm_8gpu-128vcpu-1600gb",
        "gpu-b200-sxm_8gpu-160vcpu-1792gb",
        "gpu-mi300x1-192gb",
    }
    for machine in prices.machines():
        board = prices.machine_type(machine).gpu_board
        assert (board is None) == (prices.machine_type(machine).gpus == 0)
        assert board is None or board in mig.boards()
    assert prices.machine_type("a2-highgpu-8g").vcpus == 96
    assert prices.machine_type("a2-highgpu-8g").gpus == 8
    assert prices.machine_type("a2-ultragpu-1g").gpu_board == "A100-80GB"


@pytest.mark.parametrize(
    ("machine", "share"),
    [
        ("a2-highgpu-1g", 2.934 / 3.67339),
        ("a2-highgpu-8g", 8 * 2.934 / 29.38708),
        ("a2-ultragpu-1g", 1 - (3.67339 - 2.934) / 5.0688),
        ("g2-standard-4", 1 - 4 * 0.0475 / 0.70683),
        ("g2-standard-8", 1 - 8 * 0.0475 / 0.85362),
        ("a3-highgpu-1g", 1 - 26 * 0.20161 / 4 / 11.06125),
        ("a3-highgpu-8g", 1 - 208 * 0.20161 / 4 / 88.49),
        ("n1-standard-4+T4", 0.35 / 0.54),
        ("n1-standard-8+V100", 2.48 / 2.86),
        ("n1-standard-1", 0.0),
    ],
)
def test_share_of_the_gpus(machine, share):
    assert prices.gpu_share_of_price(machine) == pytest.approx(share, rel=1e-5)


def test_unknown_names_give_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean 'a2-highgpu-1g'"):
        prices.machine_type("a2-highgpu-2g")
    with pytest.raises(UnknownNameError, match=r"did you mean 'europe-west4'"):
        prices.machine_price_usd_per_hour("g2-standard-4", region="europe-west1")
    with pytest.raises(UnknownNameError, match=r"choose one of 'on-demand', 'spot'"):
        prices.machine_price_usd_per_hour("a2-ultragpu-1g", "1-year commit")
    with pytest.raises(UnknownNameError, match="unknown machine 'A100-40GB attached GPU'"):
        prices.machine_price_usd_per_hour("A100-40GB attached GPU")


def test_egress_is_billed_by_the_gib():
    assert prices.egress_usd_per_byte() * 2**30 == pytest.approx(0.12)
    assert prices.egress_usd_per_byte(destination="china") * 2**30 == pytest.approx(0.23)
    own = prices.egress_usd_per_byte("basement")
    assert own == prices.egress_usd_per_byte(), "a region without a price is taken at us-central1's"
    with pytest.raises(UnknownNameError, match="did you mean 'worldwide'"):
        prices.egress_usd_per_byte(destination="worldwid")


HEADER = "item,purchase,region,date,gpu,gpus,vcpus,ram_gb,price_usd_per_hour\n"


def using_prices(tmp_path, *rows):
    path = tmp_path / "prices.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return using_tables(TableSet({"prices": UserTable(str(path))}))


def test_gpus_pay_all_of_a_host_that_costs_less_than_they_do_alone(tmp_path):
    cheap = "a2-highgpu-1g,on-demand,us-central1,2026-01-01,A100-40GB,1,12,85,2.50"
    with using_prices(tmp_path, cheap):
        assert prices.gpu_share_of_price("a2-highgpu-1g") == 1.0
        assert prices.gpu_share_of_price("a2-ultragpu-1g") == 1.0


def test_the_price_of_a_gpu_alone_is_that_of_the_region(tmp_path):
    before = prices.gpu_share_of_price("a2-highgpu-1g")
    with using_prices(
        tmp_path, "A100-40GB attached GPU,on-demand,us-central1,2026-01-01,A100-40GB,1,0,0,3.3"
    ):
        assert prices.gpu_share_of_price("a2-highgpu-1g") == pytest.approx(3.3 / 3.67339)
    assert before == pytest.approx(2.934 / 3.67339, rel=1e-3)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("mine,on-demand,here,2026-01-01,L4,0,8,32,1.0", "mine has gpu=L4 and gpus=0"),
        ("mine,on-demand,here,2026-01-01,,2,8,32,1.0", "mine has gpu=null and gpus=2"),
        (
            "g2-standard-4,on-demand,here,2026-01-01,L4,1,48,16,1.0",
            "g2-standard-4 has vcpus=48 in here, and 4 in",
        ),
    ],
)
def test_rows_that_contradict_themselves_or_others_are_refused(tmp_path, row, reason):
    with using_prices(tmp_path, row), pytest.raises(TableError, match=reason):
        prices.machines()


def own(tmp_path, name, frame, how):
    frame.write_csv(tmp_path / "own.csv")
    return using_tables(TableSet({name: UserTable(str(tmp_path / "own.csv"), how)}))


def test_a_host_with_a_gpu_whose_price_alone_is_not_known_is_refused(tmp_path):
    hosts = pl.DataFrame({"board": ["L4"], "host": ["g2-standard-4"]})
    wanted = r"^gpu_hosts: g2-standard-4, the host of L4, has a GPU .*'L4 attached GPU'.* without a"
    with own(tmp_path, "gpu_hosts", hosts, "merge"), pytest.raises(TableError, match=wanted):
        prices.gpu_share_of_price("g2-standard-8")


def test_egress_of_a_region_needs_a_price_there_or_where_it_is_taken_from(tmp_path):
    ours = load_table("egress_prices").filter(pl.col("region") == "us-central1")
    expected = prices.egress_usd_per_byte()
    with own(tmp_path, "egress_prices", ours.with_columns(region=pl.lit("attic")), "replace"):
        assert prices.egress_usd_per_byte("attic") == expected
        with pytest.raises(TableError, match=r"no row .* for 'basement', nor for 'us-central1'"):
            prices.egress_usd_per_byte("basement")
