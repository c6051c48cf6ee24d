"""Speeds of phones and boards, as multiples of the Raspberry Pi 4 CPU.

The ncnn project lists milliseconds of five small vision networks on many devices; a device's
relative speed is the geometric mean of (Raspberry Pi 4 ms / device ms) at its best CPU setting.
The phones are device *models*, not users: no market share weighs them. Source: Tencent/ncnn
benchmark list, table ``device_speeds``.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from hardware_models.errors import pick
from hardware_models.tables import load_table, table_cache


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """A model of user device.

    Attributes:
        name: Its name, such as ``"Snapdragon 888"``.
        relative_speed: Nominal CPU speed, in multiples of the Raspberry Pi 4 CPU.
    """

    name: str
    relative_speed: float


@table_cache
def _devices() -> dict[str, float]:
    table = load_table("device_speeds")
    return dict(zip(table["name"], table["relative_speed"], strict=True))


@table_cache
def phones() -> tuple[DeviceModel, ...]:
    """List the 14 phone chips whose speeds the published percentiles summarise, fastest first.

    One of them, the Snapdragon X Elite, is a laptop chip that those percentiles count as a phone.
    """
    table = load_table("device_speeds").filter(pl.col("group") == "phone")
    names = table.sort("relative_speed", descending=True)["name"]
    return tuple(DeviceModel(name, _devices()[name]) for name in names)


def relative_speed(name: str) -> float:
    """Look up the nominal CPU speed of a phone or board, in multiples of the Raspberry Pi 4 CPU.

    Raises:
        UnknownNameError: The device is not in the table.
    """
    pick("device", name, _devices())
    return _devices()[name]


@table_cache
def hidden_log_sd() -> float:
    """Spread of a device's true speed around its model's nominal one: sd of its logarithm.

    An assumption with a measured anchor: the sample standard deviation over the five listed boards
    with one and the same chip (RK3588 or RK3588S), which differ in board, cooling and software as
    phones of one model do in use.
    """
    table = load_table("device_speeds").filter(pl.col("group") == "rk3588")
    return float(np.std(np.log(table["relative_speed"].to_numpy()), ddof=1))
