"""The schema of every table in ``data``: columns, ranges, and the key of a row."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from hardware_models.reference import BATCH_1, LAYER_REFERENCE, OFFLINE, REFERENCE

KINDS = ("measured", "published", "derived", "assumption")
"""The kind of a row: measured, a specification or price, computed, or merely declared."""


@dataclass(frozen=True, slots=True)
class Column:
    """The schema of one column.

    Attributes:
        dtype: The Polars type of the column.
        low: Smallest allowed number.
        high: Largest allowed number.
        allowed: The allowed values; if empty, all values are allowed.
        pattern: Regular expression that a text must match; if empty, all texts are allowed.
        nullable: Whether values are allowed to be missing.
    """

    dtype: type[pl.DataType] = pl.String
    low: float = -math.inf
    high: float = math.inf
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a table.

    Attributes:
        columns: Its columns.
        key: The columns that together identify a row.
        needed: The rows that the table must have. Each is given by the values that identify it, by
            column.
    """

    columns: Mapping[str, Column]
    key: tuple[str, ...]
    needed: tuple[Mapping[str, str], ...] = ()


_TEXT = Column()
_POSITIVE = Column(pl.Float64, low=1e-9)
_COUNT = Column(pl.Int64, low=1)
_CORRELATION = Column(pl.Float64, low=-1, high=1, nullable=True)
_DIRECTION = Column(allowed=("uplink", "downlink"))
PROVENANCE = {
    "unit": _TEXT,
    "kind": Column(allowed=KINDS),
    "source": _TEXT,
    "source_url": Column(pattern="^https://"),
    "note": Column(nullable=True),
}
"""The provenance columns of every table."""


def _schema(key: tuple[str, ...], *needed: Mapping[str, str], **columns: Column) -> Schema:
    own = {name: rule for name, rule in columns.items() if name not in PROVENANCE}
    provenance = {name: columns.get(name, rule) for name, rule in PROVENANCE.items()}
    return Schema({**dict.fromkeys(key, _TEXT), **own, **provenance}, key, needed)


_FIT = _schema(("group", "coefficient"), value=Column(pl.Float64))
_FIT_ERRORS = _schema(
    ("group", "scheme"),
    n=_COUNT,
    **dict.fromkeys(("median_pct", "p90_pct", "worst_pct"), Column(pl.Float64, low=0)),
    worst_cell=_TEXT,
)

_FITS = (
    *("gpu_latency", "mps", "llm_iteration", "llm_layers", "llm", "whisper", "detection"),
    "links",
)

SCHEMAS: Mapping[str, Schema] = {
    "gpu_partitions": _schema(
        ("board", "profile"),
        mode=_TEXT,
        compute_slices=_COUNT,
        memory_slices=_COUNT,
        memory_gb=Column(pl.Float64, low=1, high=1e3),
        start_indexes=Column(pattern=r"^\d+( \d+)*$"),
        size_memory_slices=_COUNT,
        max_instances=_COUNT,
        media_extensions=Column(pl.Int64, low=0, high=1),
    ),
    "mig_reconfiguration": _schema(
        ("gpu", "operation"),
        value=_POSITIVE,
        source_url=Column(pattern="^https://", nullable=True),  # a report without a known address
    ),
    "machine_startup": _schema(
        ("provider", "start", "machines"),
        start=Column(allowed=("created", "restarted")),
        value=_POSITIVE,
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
    "compute_ratios": _schema(
        ("quantity", "item"), {"quantity": "reference_cpu_relative_speed"}, value=_POSITIVE
    ),
    "model_sizes": _schema(("model",), parameters=_COUNT, weight_bytes=_COUNT),
    "device_models": _schema(
        ("name",),
        family=_TEXT,
        chip=Column(nullable=True),
        device=_TEXT,
        relative_speed=Column(pl.Float64, low=1e-3, high=1e3),
        n_models=_COUNT,
        memory_bytes=_COUNT,
        memory_kind=Column(allowed=KINDS),
        accelerator=Column(nullable=True),
    ),
    "device_latency": _schema(
        ("device", "model", "backend", "threads", "gpu_device"),
        threads=_COUNT,
        gpu_device=Column(pl.Int64, low=-1),
        **dict.fromkeys(("min_ms", "max_ms", "avg_ms"), _POSITIVE),
    ),
    "device_speed_percentiles": _schema(
        ("population", "percentile"),
        percentile=Column(pl.Float64, low=0, high=100),
        relative_speed=Column(pl.Float64, low=1e-3, high=1e3),
        n=_COUNT,
    ),
    "path_propagation": _schema(
        ("quantity",),
        {"quantity": "fibre_group_index"},
        {"quantity": "route_factor"},
        value=_POSITIVE,
    ),
    "links": _schema(
        ("dataset", "technology", "metric"),
        n=_COUNT,
        **dict.fromkeys(
            ("mean", "cv", "p5", "p10", "p25", "p50", "p75", "p90", "p95"),
            Column(pl.Float64, low=0, high=1e6),  # Mbit/s or ms
        ),
    ),
    "link_technologies": _schema(
        ("technology", "quantity"),
        quantity=Column(allowed=("uplink", "downlink", "rtt", "rtt_far")),
        dataset=_TEXT,
        measured_technology=_TEXT,
        metric=_TEXT,
    ),
    "link_autocorrelation": _schema(
        ("technology",), dataset=_TEXT, lag1=Column(pl.Float64, low=0, high=0.999), n=_COUNT
    ),
    "link_trace_statistics": _schema(
        ("technology", "direction", "trace", "recording"),
        direction=_DIRECTION,
        part=Column(allowed=("fit", "held out")),
        seconds=_COUNT,
        p1=Column(pl.Float64, low=0, high=1e6, nullable=True),
        **dict.fromkeys(
            ("p5", "p10", "p25", "p50", "p75", "p90", "p95"), Column(pl.Float64, low=0, high=1e6)
        ),
        p99=Column(pl.Float64, low=0, high=1e6, nullable=True),
        **dict.fromkeys(
            ("acf_1s", "acf_2s", "acf_5s", "acf_10s", "acf_30s", "acf_60s"), _CORRELATION
        ),
        bad_share=Column(pl.Float64, low=0, high=1, nullable=True),
        **dict.fromkeys(
            ("bad_spells", "bad_spell_mean_s", "bad_spell_max_s"),
            Column(pl.Float64, low=0, nullable=True),
        ),
        updown_correlation=_CORRELATION,
    ),
    "link_processes": _schema(
        ("technology", "direction"),
        direction=_DIRECTION,
        fit=_TEXT,
        percentiles=Column(allowed=("traces", "published", "scaled")),
        like=Column(nullable=True),
    ),
    "llm_iteration": _schema(
        ("model", "gpu", "tensor_parallel", "prompt_tokens", "batch", "output_tokens"),
        **dict.fromkeys(("tensor_parallel", "prompt_tokens", "batch", "output_tokens"), _COUNT),
        ttft_ms=_POSITIVE,
        tpot_ms=_POSITIVE,
        e2e_ms=_POSITIVE,
        n_runs=_COUNT,
    ),
    "llm_speed": _schema(
        (
            *("model", "precision", "gpu", "n_gpus", "engine"),
            *("input_tokens", "output_tokens", "batch"),
        ),
        n_gpus=Column(pl.Int64, low=0),
        batch=_COUNT,
        **dict.fromkeys(("input_tokens", "output_tokens"), Column(pl.Int64, low=1, nullable=True)),
        decode_tokens_per_s=_POSITIVE,
        gpu_memory_gb=Column(pl.Float64, low=0, nullable=True),
    ),
    "llm_layer_times": _schema(
        ("model", "gpu", "phase", "batch_or_tokens"),
        phase=Column(allowed=("decode", "prompt")),
        batch_or_tokens=_COUNT,
        time_ms_per_layer=_POSITIVE,
    ),
    "llm_mlp_times": _schema(
        ("model", "gpu", "tensor_parallel", "num_tokens"),
        **dict.fromkeys(("tensor_parallel", "num_tokens", "n_embd"), _COUNT),
        linear_ms_per_layer=_POSITIVE,
        other_ms_per_layer=_POSITIVE,
    ),
    "llm_models": _schema(
        ("model",),
        **dict.fromkeys(
            (
                *("layers", "hidden_size", "heads", "kv_heads", "head_dim", "intermediate_size"),
                *("mlp_matrices", "vocabulary", "embedding_matrices", "context_tokens"),
            ),
            _COUNT,
        ),
        vision_parameters=Column(pl.Int64, low=0),
        aliases=Column(nullable=True),
    ),
    "llm_weights": _schema(("model", "precision"), weight_bytes=_COUNT, layer_bytes=_COUNT),
    "llm_boards": _schema(
        ("board",),
        # The boards to which other boards are compared:
        {"board": REFERENCE},
        {"board": LAYER_REFERENCE},
        memory_gb_per_s=_POSITIVE,
        tensor_tflops=_POSITIVE,
    ),
    "llm_slice_scaling": _schema(
        ("part",),
        {"part": "decode"},
        {"part": "prefill"},
        {"part": "fixed"},
        part=Column(allowed=("decode", "prefill", "fixed")),
        exponent=Column(pl.Float64, low=0, high=2),
    ),
    "whisper_models": _schema(
        ("model",), encoder_parameters=_COUNT, decoder_parameters=_COUNT, parameters=_COUNT
    ),
    "whisper_latency": _schema(
        ("model", "hardware", "engine", "precision", "threads", "metric"),
        precision=Column(nullable=True),
        threads=Column(pl.Int64, low=1, nullable=True),
        value=_POSITIVE,
    ),
    "detection_latency": _schema(
        ("model", "input_px", "hardware", "precision", "batch", "metric"),
        precision=Column(nullable=True),
        **dict.fromkeys(("input_px", "batch"), _COUNT),
        value=_POSITIVE,
        **dict.fromkeys(("params_m", "flops_g"), Column(pl.Float64, low=0, nullable=True)),
    ),
    "detection_map": _schema(
        ("model", "input_px", "metric"),
        input_px=_COUNT,
        value=Column(pl.Float64, low=0, high=100),
        **dict.fromkeys(("params_m", "flops_g"), Column(pl.Float64, low=0, nullable=True)),
    ),
    "detection_resolution": _schema(
        ("model", "input_px", "hardware", "precision"),
        input_px=_COUNT,
        **dict.fromkeys(("map50_95", "map50"), Column(pl.Float64, low=0, high=100, nullable=True)),
        fps=_POSITIVE,
        bflops=Column(pl.Float64, low=0, nullable=True),
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
    "gpu_hosts": _schema(("board",), host=_TEXT),
    "egress_prices": _schema(
        ("region", "destination", "from_tib_per_month"),
        from_tib_per_month=Column(pl.Float64, low=0),
        date=_TEXT,
        price_usd_per_gib=_POSITIVE,
    ),
    "gpu_latency": _schema(
        ("model", "gpu", "mig_gpcs", "batch", "mps_procs"),
        mig_gpcs=Column(pl.Int64, low=1, high=8),
        batch=Column(pl.Int64, low=1, high=4096),
        mps_procs=Column(pl.Int64, low=1, high=48),
        batch_latency_ms=_POSITIVE,
    ),
    "accelerator_relative_speed": _schema(
        ("round", "system", "benchmark", "metric"),
        metric=Column(allowed=(BATCH_1, OFFLINE)),
        value=_POSITIVE,
    ),
    "accelerator_systems": _schema(("system",), board=_TEXT),
    "board_assumptions": _schema(("quantity",), {"quantity": "offline_batch"}, value=_POSITIVE),
    "mps_interference": _schema(
        ("section", "model", "gpu", "batch", "mps_active_thread_pct", "n_colocated", "metric"),
        batch=Column(pl.Int64, low=1, nullable=True),
        mps_active_thread_pct=Column(pl.Float64, low=1, high=100, nullable=True),
        n_colocated=_COUNT,
        value=Column(pl.Float64),
    ),
    "mig_mlperf_ratios": _schema(("round", "gpu", "benchmark", "metric"), value=_POSITIVE),
    **{
        f"fit_{fit}{suffix}": schema
        for fit in _FITS
        for suffix, schema in (("", _FIT), ("_errors", _FIT_ERRORS))
    },
}
"""The schema of every table in ``data``."""
