"""Models of user devices: CPU speed relative to a Raspberry Pi 4, memory, and accelerator.

The ncnn project lists the milliseconds that small vision networks take on many devices. A device's
relative speed is the geometric mean, over five networks, of the Raspberry Pi 4's time divided by
the device's time, at the device's fastest CPU setting. The list contains device *models* and is not
weighted by market share. Source: Tencent/ncnn benchmark list, table ``device_models``. Memory is as
published; where a device is sold with several sizes of memory, the row says which one is assumed.

Table ``device_latency`` holds the mean time of an inference at batch 1, on a CPU by device, network
and number of threads, and on GPUs of phones and Jetsons. The logarithm of a time is modelled as the
logarithm of the network's *typical* time on a Raspberry Pi 4, in milliseconds, minus the logarithm
of the device's speed at that number of threads. Typical times and speeds are medians, computed in
turn until both converge (median polish: Tukey, Exploratory Data Analysis, 1977). Times on GPUs are
modelled in the same way, apart from those on CPUs, and simulations do not use them. Rows were
measured with versions of ncnn from 2019 to 2026, so their differences include changes of the
software. Unknown names raise UnknownNameError.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from hardware_models.errors import pick
from hardware_models.gpu.boards import boards
from hardware_models.tables import SHIPPED, load_table, table_cache, using_tables

_REFERENCE = "Raspberry Pi 4"
_ROUNDS = 12  # one more round changes every typical time by less than a thousandth
_SETTING = ("device", "threads", "gpu_device")
CPU, VULKAN = "cpu", "gpu(vulkan)"
"""Backends of table ``device_latency``, as ncnn names them."""


class DeviceModel(NamedTuple):
    """A device model that users own. It is a tuple, so that no planner can change it.

    Attributes:
        name: Its name, such as ``"Snapdragon 888"``.
        relative_speed: Nominal CPU speed, in multiples of the Raspberry Pi 4 CPU.
        family: Its family, such as ``"phone"`` or ``"jetson"``.
        memory_bytes: Main memory, in bytes.
        accelerator: The name of its GPU's board in `boards.boards`, such as ``"Jetson AGX
            Xavier"``. It is None if the device has no GPU or its GPU was not measured.
    """

    name: str
    relative_speed: float
    family: str
    memory_bytes: int
    accelerator: str | None = None


@table_cache
def _devices() -> dict[str, DeviceModel]:
    """Return all devices by name, the fastest first."""
    columns = ("name", "relative_speed", "family", "memory_bytes", "accelerator")
    table = load_table("device_models").sort("relative_speed", descending=True, maintain_order=True)
    found = [DeviceModel(**row) for row in table.select(columns).iter_rows(named=True)]
    for each in found:
        if each.accelerator is not None:
            pick(f"accelerator of {each.name} in table device_models", each.accelerator, boards())
    return {each.name: each for each in found}


@table_cache
def families() -> tuple[str, ...]:
    """Return the names of the families of devices."""
    return tuple(load_table("device_models")["family"].unique(maintain_order=True))


@table_cache
def devices(family: str) -> tuple[DeviceModel, ...]:
    """Return the devices of a family, the fastest first.

    The published percentiles of speed are those of the 14 phones. One of these 14, the Snapdragon X
    Elite, is a laptop chip.
    """
    pick("device family", family, families())
    return tuple(each for each in _devices().values() if each.family == family)


def device(name: str) -> DeviceModel:
    """Look up a device."""
    pick("device", name, _devices())
    return _devices()[name]


@table_cache
def hidden_log_sd() -> float:
    """Return the standard deviation over devices of the logarithm of (true speed / nominal speed).

    The value is the sample standard deviation of five listed boards that have the same chip (RK3588
    or RK3588S). It is assumed to hold for other devices, because phones of one model differ in
    cooling and software as these boards do. Devices in a user's own table do not change the value.
    """
    with using_tables(SHIPPED):
        table = load_table("device_models").filter(pl.col("chip") == "RK3588")
    return float(np.std(np.log(table["relative_speed"].to_numpy()), ddof=1))


@table_cache
def cpu_times() -> pl.DataFrame:
    """Return the rows of table ``device_latency`` that were measured on a CPU."""
    return load_table("device_latency").filter(pl.col("backend") == CPU)


@table_cache
def gpu_times() -> pl.DataFrame:
    """Return the rows of table ``device_latency`` that were measured on a GPU by Vulkan."""
    return load_table("device_latency").filter(pl.col("backend") == VULKAN)


@table_cache
def source_name(name: str) -> str:
    """Return the name that a device has in the ncnn benchmark list."""
    rows = load_table("device_models").filter(pl.col("name") == device(name).name)
    return str(rows["device"].item())


def factors(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split measured times into the networks' typical times and the devices' speeds by threads.

    Args:
        table: Columns ``device``, ``threads``, ``gpu_device``, ``model`` and ``avg_ms``.

    Returns:
        The logarithms of typical times on the Raspberry Pi 4 (``model``, ``log_ms``), and those of
        speeds in multiples of the Raspberry Pi 4 (``device``, ``threads``, ``gpu_device``,
        ``log_speed``).
    """
    logs = table.select(*_SETTING, "model", log=pl.col("avg_ms").log())
    typical = logs.select("model").unique(maintain_order=True).with_columns(log_ms=pl.lit(0.0))
    for _ in range(_ROUNDS):
        speeds = (
            logs.join(typical, on="model")
            .group_by(_SETTING, maintain_order=True)
            .agg(log_speed=(pl.col("log_ms") - pl.col("log")).median())
        )
        typical = (
            logs.join(speeds, on=_SETTING)
            .group_by("model", maintain_order=True)
            .agg(log_ms=(pl.col("log") + pl.col("log_speed")).median())
        )
    pi = speeds.filter(pl.col("device") == source_name(_REFERENCE))["log_speed"].max()
    shift = 0.0 if pi is None else pi
    return (
        typical.with_columns(pl.col("log_ms") - shift),
        speeds.with_columns(pl.col("log_speed") - shift),
    )


@table_cache
def cpu_factors() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `factors` of CPUs."""
    return factors(cpu_times())


@table_cache
def gpu_factors() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `factors` of GPUs; they have no common reference, only their products count."""
    return factors(gpu_times())


def predict_ms(
    rows: pl.DataFrame, fitted: tuple[pl.DataFrame, pl.DataFrame] | None = None
) -> pl.Series:
    """Predict times in ms; they are null for unknown networks, devices and thread counts.

    Args:
        rows: Columns ``device`` (as the source names it), ``threads``, ``gpu_device`` and
            ``model``.
        fitted: The result of `factors`; by default, the result for the table in use.
    """
    typical, speeds = cpu_factors() if fitted is None else fitted
    joined = rows.join(typical, on="model", how="left", maintain_order="left").join(
        speeds, on=_SETTING, how="left", maintain_order="left"
    )
    return joined.select((pl.col("log_ms") - pl.col("log_speed")).exp()).to_series()
