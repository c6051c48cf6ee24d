"""Wall time of the main job, ``compass-sim`` with its default scenario, and of its ``--help``."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from shutil import which
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

HELP_RUNS = 3


def timed(command: list[str]) -> float:
    """Return the wall time in seconds of a command outside of the checkout; exit if it fails."""
    one_core = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with TemporaryDirectory() as directory:
        started = perf_counter()
        done = subprocess.run(
            command,
            cwd=directory,
            env=os.environ | one_core,
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s = perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
    return wall_s


def measure() -> dict[str, Any]:
    """Return the figures; only one core is used if the system allows that.

    ``cpu_s`` is the processor time of the main job; it shows whether a busy machine distorted
    ``wall_s``.
    """
    installed = Path(sys.executable).with_name("compass-sim")
    program = str(installed) if installed.exists() else which("compass-sim")
    if program is None:
        raise SystemExit("compass-sim is not installed: run `pip install -e .` first")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    help_s = median(timed([program, "--help"]) for _ in range(HELP_RUNS))
    print(f"--help: {help_s:.2f} s", flush=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall_s = timed([program])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "benchmark": "main_job",
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "help_s": round(help_s, 2),
    }
