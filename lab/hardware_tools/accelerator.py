"""Summarises an accelerator's file: times, partitions, prices and assumptions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hardware_models.accelerators import Accelerator, read_accelerator
from hardware_models.gpu.boards import latency_ratio
from hardware_models.gpu.mig import profiles
from hardware_models.llm import WHOLE, IterationTimes, iteration_times
from hardware_models.reference import REFERENCE
from hardware_models.tables import (
    ACCELERATORS,
    SHIPPED_ACCELERATORS,
    TableSet,
    UserTable,
    load_table,
    using_tables,
)
from scenarios.cluster import Node

BATCHES = (1, 8, 64)
LANGUAGE_MODEL, PRECISION, PROMPT = "Qwen2.5-Coder-7B-Instruct", "BF16", 1024


class PrintedTable(NamedTuple):
    """A table to print."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


class BoardSummary(NamedTuple):
    """The tables and assumptions of an accelerator's file, and a command that uses the board."""

    tables: list[PrintedTable]
    assumptions: list[str]
    command: str
    shipped: bool  # whether the file is one of the package


def find(path: Path) -> BoardSummary:
    """Return the summary of an accelerator's file; raise AcceleratorError if it is invalid."""
    one = read_accelerator(path)
    with using_tables(TableSet({ACCELERATORS: UserTable(str(path))})):
        tables = [_facts(one), _times(one), _partitions(one)]
    shipped = path.resolve().parent == SHIPPED_ACCELERATORS.resolve()
    # A run with this board in the cloud.
    machine = one.price.machines[0]
    command = [
        "compass-sim experiment=tracking_small",
        *([] if shipped else [f"tables.{ACCELERATORS}={path}"]),
        f"cluster.nodes.cloud.machine={machine.name}",
        f"cluster.nodes.cloud.region={machine.offers[0].region}",
    ]
    return BoardSummary(tables, [*_assumptions(one)], " ".join(command), shipped)


def _facts(one: Accelerator) -> PrintedTable:
    chip = one.chip
    peaks = chip.tflops.model_dump(exclude_none=True).items()
    rows = [
        ("memory", f"{chip.memory_gb:g} GB"),
        ("memory bandwidth", f"{chip.bandwidth_gb_per_s:g} GB/s"),
        *((f"dense {name} throughput", f"{value:g} TFLOP/s") for name, value in peaks),
    ]
    origin = chip.source or f"assumed: {chip.assumption}"
    return PrintedTable(f"{one.board} of {one.vendor}; {origin}", ("fact", "value"), rows)


def _times(one: Accelerator) -> PrintedTable:
    """Return the times of networks and of a language model relative to the reference board."""
    names = load_table("accelerator_relative_speed")["benchmark"].unique()
    rows = []
    for name in names.sort():
        ratios = [latency_ratio(one.board, name, batch) for batch in BATCHES]
        rows.append([name, *(f"{each.value:.3f} {each.basis}" for each in ratios)])
    here, there = (
        iteration_times(LANGUAGE_MODEL, PRECISION, board, WHOLE) for board in (one.board, REFERENCE)
    )

    def decoding(times: IterationTimes, batch: int) -> float:
        return times.decode_s(batch, batch * PROMPT)

    for part, seconds in (
        ("decoding", decoding),
        ("prefill", lambda times, batch: times.prefill_s([PROMPT] * batch)),
    ):
        shares = [seconds(here, batch) / seconds(there, batch) for batch in BATCHES]
        label = f"{LANGUAGE_MODEL} {PRECISION}, {part}"
        rows.append([label, *(f"{share:.3f} {here.basis}" for share in shares)])
    heads = ("operator", *(f"batch {batch}" for batch in BATCHES))
    return PrintedTable(f"time on a whole board relative to an {REFERENCE}", heads, rows)


def _partitions(one: Accelerator) -> PrintedTable:
    nodes = [
        Node(machine=each.name, region=each.offers[0].region, purchase=each.offers[0].purchase)
        for each in one.price.machines
    ]
    rows = [
        [
            name,
            str(profile.max_instances),
            f"{profile.memory_bytes / 1e9:g} GB",
            f"{profile.compute_fraction:.3f}",
            *(f"{node.slice_price_usd_per_hour(name):.3f}" for node in nodes),
        ]
        for name, profile in profiles(one.board).items()
    ]
    prices = (f"USD/h, {node.machine}, {node.purchase}, {node.region}" for node in nodes)
    heads = ("profile", "at most", "memory", "share of compute", *prices)
    return PrintedTable(f"partitions; prices of {one.price.date}", heads, rows)


def _assumptions(one: Accelerator) -> Iterator[str]:
    for name, section in one.sections.items():
        if section.assumption:
            yield f"{name}: {section.assumption}"
    yield "price: a vCPU costs vcpu_usd_per_hour; the boards cost the rest of a machine's price"
    yield "language models: decoding scales with memory bandwidth, prefill with fp16 throughput"
    yield f"batches between 1 and the offline rate: log-linear, as on all boards but {REFERENCE}"
