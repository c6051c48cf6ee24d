"""Models of user devices: speed as a multiple of the Raspberry Pi 4 CPU, memory, accelerator.

The ncnn project lists milliseconds of small vision networks on many devices; a device's relative
speed is the geometric mean over five networks of (Raspberry Pi 4 ms / device ms) at its best CPU
setting. The devices are *models*, not users: no market share weighs them. Source: Tencent/ncnn
benchmark list, table ``device_models``; memory as published or, where several configurations are
sold, one of them by assumption (each row says which).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from hardware_models.errors import pick
from hardware_models.gpu.boards import boards
from hardware_models.tables import SHIPPED, load_table, table_cache, using_tables


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """A model of user device.

    Attributes:
        name: Its name, such as ``"Snapdragon 888"``.
        relative_speed: Nominal CPU speed, in multiples of the Raspberry Pi 4 CPU.
        family: Its family, such as ``"phone"`` or ``"jetson"``.
        memory_bytes: Main memory, in bytes.
        accelerator: The board that its GPU is, as `boards.boards` names it, such as
            ``"Jetson AGX Xavier"``; None if it has none, or none that was measured there.
    """

    name: str
    relative_speed: float
    family: str
    memory_bytes: int
    accelerator: str | None = None


@table_cache
def _devices() -> dict[str, DeviceModel]:
    """All devices by name, fastest first."""
    columns = ("name", "relative_speed", "family", "memory_bytes", "accelerator")
    table = load_table("device_models").sort("relative_speed", descending=True, maintain_order=True)
    found = [DeviceModel(**row) for row in table.select(columns).iter_rows(named=True)]
    for each in found:
        if each.accelerator is not None:
            pick(f"accelerator of {each.name} in table device_models", each.accelerator, boards())
    return {each.name: each for each in found}


@table_cache
def families() -> tuple[str, ...]:
    """Name the families of devices."""
    return tuple(load_table("device_models")["family"].unique(maintain_order=True))


@table_cache
def devices(family: str) -> tuple[DeviceModel, ...]:
    """List the devices of a family, fastest first.

    Raises:
        UnknownNameError: There is no such family.
    """
    pick("device family", family, families())
    return tuple(each for each in _devices().values() if each.family == family)


def phones() -> tuple[DeviceModel, ...]:
    """List the 14 phone chips whose speeds the published percentiles summarise, fastest first.

    One of them, the Snapdragon X Elite, is a laptop chip that those percentiles count as a phone.
    """
    return devices("phone")


def device(name: str) -> DeviceModel:
    """Look up a device.

    Raises:
        UnknownNameError: The device is not in the table.
    """
    pick("device", name, _devices())
    return _devices()[name]


def relative_speed(name: str) -> float:
    """Look up the nominal CPU speed of a device, in multiples of the Raspberry Pi 4 CPU.

    Raises:
        UnknownNameError: The device is not in the table.
    """
    return device(name).relative_speed


@table_cache
def hidden_log_sd() -> float:
    """Spread of a device's true speed around its model's nominal one: sd of its logarithm.

    An assumption with a measured anchor: the sample standard deviation over the five listed boards
    with one and the same chip (RK3588 or RK3588S), which differ in board, cooling and software as
    phones of one model do in use. Devices of a user's own do not change it.
    """
    with using_tables(SHIPPED):
        table = load_table("device_models").filter(pl.col("chip") == "RK3588")
    return float(np.std(np.log(table["relative_speed"].to_numpy()), ddof=1))
