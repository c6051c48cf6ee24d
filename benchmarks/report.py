"""`compass-lab report` over 1,000 runs: seconds from the command to the page.

The sweep has five planners, ten seeds and twenty rates. Its files are written to a temporary
directory by the same code as for real runs, with rows drawn from one simulated run. The command
runs in its own process, so its start-up time is included. `rows` is the number of window rows of
all runs; there are five times as many operator rows. `cpu_s` is the processor time of all cores.
"""

import subprocess
import sys
from itertools import product
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

PLANNERS, SEEDS, RATES = 5, 10, 20
RUNS = PLANNERS * SEEDS * RATES
WINDOWS = 100_000
"""Window rows of each run."""
QUERIES = 100


def measure(windows: int = WINDOWS) -> dict[str, Any]:
    """Return the figures.

    Args:
        windows: window rows of each run, a multiple of 100.
    """
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "sweep"
        started = perf_counter()
        _write(directory, windows)
        written_s = perf_counter() - started
        started = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "lab.cli.tools", "report", str(directory)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        report_s = perf_counter() - started
        used = getrusage(RUSAGE_CHILDREN)
        page = directory / "report" / "index.html"
        return {
            "benchmark": "report",
            "report_s": round(report_s, 1),
            "rows": RUNS * windows,
            "runs": RUNS,
            "cpu_s": round(used.ru_utime + used.ru_stime, 1),
            "peak_gb": round(used.ru_maxrss * 1024 / 1e9, 1),
            "page_mb": round(page.stat().st_size / 1e6, 1),
            "written_s": round(written_s, 1),
        }


def _write(directory: Path, windows: int) -> None:
    """Write a sweep of artificial runs."""
    from lab import run
    from lab.config.compose import compose, set_up
    from lab.runs.run_directory import RunDirectory
    from sim.metrics.results import SCHEMAS

    overrides = ["experiment=speech_small", "planner=cheapest_feasible"]
    config = set_up(compose(overrides), overrides).config
    base = run(overrides)
    empty = {name: pl.DataFrame(schema=dict(schema)) for name, schema in SCHEMAS.items()}
    rng = np.random.default_rng(0)
    cells = product(range(PLANNERS), range(RATES), range(SEEDS))
    tables = _tables(base, rng, windows)
    for number, (planner, rate, seed) in enumerate(cells):
        config.workload.rate, config.seed = 0.1 * (1 + rate), seed
        config.planner.samples = 10 + planner
        summary = {
            **base.summary,
            "seed": seed,
            "planner_parameters": {**base.summary["planner_parameters"], "samples": 10 + planner},
            **{
                name: base.summary[name] * (1 + 0.1 * planner + 0.05 * rate) * rng.uniform(0.9, 1.1)
                for name in ("service_goodput_mean", "response_time_p50_s", "deployment_cost_usd")
            },
        }
        writer = RunDirectory(directory / str(number), config)
        writer.add(empty, summary)
        writer.add(tables, summary)


def _tables(base: Any, rng: np.random.Generator, windows: int) -> dict[str, pl.DataFrame]:
    """Return the tables of a run with rows drawn from another run."""
    served = base.windows.filter(pl.col("completed") > 0)
    length_s = float(served["end_s"][0] - served["start_s"][0])
    at = np.arange(windows)
    drawn = (
        served[rng.integers(served.height, size=windows)]
        .with_columns(
            pl.col("query").alias("old_query"),
            pl.col("window").alias("old_window"),
            pl.Series("query", at % QUERIES),
            pl.Series("window", at // QUERIES),
        )
        .with_columns(
            start_s=pl.col("window") * length_s,
            end_s=(pl.col("window") + 1) * length_s,
        )
    )
    parts = base.operators.rename({"query": "old_query", "window": "old_window"})
    operators = drawn.select("query", "window", "old_query", "old_window").join(
        parts, on=["old_query", "old_window"], maintain_order="left"
    )
    queries = base.queries[rng.integers(base.queries.height, size=QUERIES)].with_columns(
        pl.Series("query", np.arange(QUERIES))
    )
    return {
        "queries": queries,
        "windows": drawn.select(base.windows.columns),
        "operators": operators.select(base.operators.columns),
    }
