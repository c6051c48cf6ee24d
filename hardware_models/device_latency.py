"""Time of a vision network on a device's CPU: as measured, or by the speed of the device.

Table ``device_latency`` (Tencent/ncnn benchmark list) holds the mean time of an inference, batch 1,
by device, network and number of threads. Times factor well: log time is a *typical* value of the
network, in Raspberry Pi 4 milliseconds, less the log speed of the device at that number of threads.
Both are medians, found in turns until they settle (median polish: Tukey, Exploratory Data Analysis,
1977). Rows stem from versions of ncnn from 2019 to 2026, so they carry software drift.
"""

import polars as pl

from hardware_models.devices import device as look_up
from hardware_models.tables import load_table, table_cache

REFERENCE = "Raspberry Pi 4"
_ROUNDS = 12  # A further one changes no typical time by a thousandth.
_SETTING = ("device", "threads")


@table_cache
def cpu_times() -> pl.DataFrame:
    """Give the rows of table ``device_latency`` that ran on a CPU."""
    return load_table("device_latency").filter(pl.col("backend") == "cpu")


@table_cache
def source_name(device: str) -> str:
    """Give a device's name in the source's list.

    Raises:
        UnknownNameError: The device is not in table ``device_models``.
    """
    name: str = (
        load_table("device_models").filter(pl.col("name") == look_up(device).name)["device"].item()
    )
    return name


def factors(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split times into those of networks and speeds of settings.

    Args:
        table: Columns ``device``, ``threads``, ``model`` and ``avg_ms``.

    Returns:
        Typical times (``model``, ``log_ms``, on the Raspberry Pi 4) and speeds (``device``,
        ``threads``, ``log_speed``, in multiples of it), both as logarithms.
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
    pi = speeds.filter(pl.col("device") == source_name(REFERENCE))["log_speed"].max()
    shift = 0.0 if pi is None else pi
    return (
        typical.with_columns(pl.col("log_ms") - shift),
        speeds.with_columns(pl.col("log_speed") - shift),
    )


@table_cache
def _factors() -> tuple[pl.DataFrame, pl.DataFrame]:
    return factors(cpu_times())


def predict_ms(
    rows: pl.DataFrame, fitted: tuple[pl.DataFrame, pl.DataFrame] | None = None
) -> pl.Series:
    """Predict times by network and setting, without looking up the times themselves.

    Args:
        rows: Columns ``device`` (as the source names it), ``threads`` and ``model``.
        fitted: What `factors` gave; by default for the table in use.

    Returns:
        Milliseconds; null where the network or the device at that number of threads is not known.
    """
    typical, speeds = _factors() if fitted is None else fitted
    joined = rows.join(typical, on="model", how="left", maintain_order="left").join(
        speeds, on=_SETTING, how="left", maintain_order="left"
    )
    return joined.select((pl.col("log_ms") - pl.col("log_speed")).exp()).to_series()
