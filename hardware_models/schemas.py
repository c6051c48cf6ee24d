"""What every table in ``data`` must hold: its columns, their ranges, and what identifies a row."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

KINDS = ("measured", "published", "derived", "assumption")
"""How firm a row is: run by someone, a specification or price, computed, or merely declared."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column may hold.

    Attributes:
        dtype: The Polars type of the column.
        low: Smallest allowed number.
        high: Largest allowed number.
        allowed: The only allowed values; empty allows any.
        pattern: Regular expression that a text must match; empty allows any.
        nullable: Whether a value may be missing.
    """

    dtype: type[pl.DataType] = pl.String
    low: float = -math.inf
    high: float = math.inf
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table and the ones that together identify a row."""

    columns: Mapping[str, Column]
    key: tuple[str, ...]


_TEXT = Column()
_POSITIVE = Column(pl.Float64, low=1e-9)
_COUNT = Column(pl.Int64, low=1)
_PROVENANCE = {
    "unit": _TEXT,
    "kind": Column(allowed=KINDS),
    "source": _TEXT,
    "source_url": Column(pattern="^https://"),
    "note": Column(nullable=True),
}


def _schema(key: tuple[str, ...], **columns: Column) -> Schema:
    return Schema({**dict.fromkeys(key, _TEXT), **columns, **_PROVENANCE}, key)


SCHEMAS: Mapping[str, Schema] = {
    "gpu_partitions": _schema(
        ("board", "profile"),
        compute_slices=_COUNT,
        memory_slices=_COUNT,
        memory_gb=Column(pl.Float64, low=1, high=1e3),
        start_indexes=Column(pattern=r"^\d+( \d+)*$"),
        size_memory_slices=_COUNT,
        max_instances=_COUNT,
    ),
    "mig_layouts_a100": _schema(
        ("config_id",),
        config_id=_COUNT,
        layout=_TEXT,
        multiset=_TEXT,
        n_instances=Column(pl.Int64, low=1, high=7),
        compute_slices_used=Column(pl.Int64, low=1, high=7),
        memory_slices_used=Column(pl.Int64, low=1, high=8),
    ),
    "compute_ratios": _schema(("quantity", "item"), value=_POSITIVE),
    "asr_encode_latency": _schema(
        ("model", "hardware"),
        engine=_TEXT,
        precision=_TEXT,
        threads=_COUNT,
        encode_window_ms=_POSITIVE,
    ),
    "batch_latency": _schema(
        ("batch",),
        model=_TEXT,
        gpu=_TEXT,
        mig_gpcs=_COUNT,
        batch=_COUNT,
        mps_procs=_COUNT,
        batch_latency_ms=_POSITIVE,
    ),
    "model_sizes": _schema(("model",), parameters=_COUNT, weight_bytes=_COUNT),
    "device_speeds": _schema(
        ("name",),
        group=Column(allowed=("phone", "rk3588", "board")),
        device=_TEXT,
        relative_speed=Column(pl.Float64, low=1e-3, high=1e3),
        n_models=_COUNT,
    ),
    "links": _schema(
        ("dataset", "technology", "metric"),
        n=_COUNT,
        **dict.fromkeys(("mean", "cv", "p5", "p10", "p25", "p50", "p75", "p90", "p95"), _POSITIVE),
    ),
    "prices": _schema(
        ("item", "purchase", "region"),
        date=_TEXT,
        gpu=Column(nullable=True),
        gpus=Column(pl.Int64, low=0),
        vcpus=Column(pl.Int64, low=0),
        ram_gb=Column(pl.Float64, low=0, nullable=True),
        price_usd_per_hour=Column(pl.Float64, low=1e-3, high=1e3),
    ),
}
"""The schema of every table in ``data``."""
