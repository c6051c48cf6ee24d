"""Rate of a sweep of 200 short runs on two cores against one, and the overhead of a run.

Each run simulates 200 seconds of speech recognition with the planner ``cheapest_feasible``. Every
run has its own seed, and no run draws figures. The sweep on one core uses ``hydra/launcher=basic``,
and the sweep on two cores uses ``hydra/launcher=joblib``. Start-up is excluded: a sweep with one
run per core is timed as well, and its time is subtracted. ``speedup`` is the rate on two cores
divided by the rate on one core. ``speedup_of_commands`` is the same ratio with start-up included.
``overhead_s`` is the time of a run on one core minus the ``wall_s`` in its summary. This time is
spent on composing the configuration, checking it, and reporting the result to the process of the
sweep.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

RUNS = 200
HORIZON_S = 200
CODE = "import sys; from lab.cli.simulate import main; sys.exit(main())"


def timed(runs: int, cores: Sequence[int], launcher: Sequence[str]) -> tuple[float, float]:
    """Return the wall time of a sweep on some cores, and the mean ``wall_s`` of its runs.

    Args:
        runs: number of runs.
        cores: numbers of the cores; ignored if the system does not allow a choice.
        launcher: overrides that choose the launcher.
    """
    root = str(Path(__file__).parents[1])
    with TemporaryDirectory() as directory:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        started = perf_counter()
        done = subprocess.run(
            [
                *(sys.executable, "-c", CODE, "-m", *launcher, "experiment=speech_small"),
                *("planner=cheapest_feasible", f"horizon_s={HORIZON_S}", "figures=false"),
                *(f"seed=range({runs})", "hydra.sweep.dir=sweep"),
            ],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": root, "POLARS_MAX_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s = perf_counter() - started
        if done.returncode:
            raise SystemExit(f"the sweep failed:\n{done.stderr.strip()[-2000:]}")
        summaries = Path(directory, "sweep").glob("*/summary.json")
        return wall_s, fmean(json.loads(path.read_text())["wall_s"] for path in summaries)


def measure(runs: int = RUNS) -> dict[str, Any]:
    """Return the figures."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [0, 1]
    if len(cores) < 2:
        raise SystemExit("two cores are needed, but this process may use only one")
    two = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    timed(1, cores[:1], ())  # compiles, if necessary
    start_of_one_s, _ = timed(1, cores[:1], ())
    one_s, inside_s = timed(runs, cores[:1], ())
    print(f"one core: {one_s:.1f} s, including {start_of_one_s:.1f} s of start-up", flush=True)
    start_of_two_s, _ = timed(2, cores, two)
    two_s, _ = timed(runs, cores, two)
    print(f"two cores: {two_s:.1f} s, including {start_of_two_s:.1f} s of start-up", flush=True)
    run_on_one_s = (one_s - start_of_one_s) / (runs - 1)
    run_on_two_s = (two_s - start_of_two_s) / (runs - 2)
    return {
        "benchmark": "sweep",
        "speedup": round(run_on_one_s / run_on_two_s, 2),
        "overhead_s": round(run_on_one_s - inside_s, 3),
        "speedup_of_commands": round(one_s / two_s, 2),
        "run_s": round(run_on_one_s, 3),
        "start_of_one_s": round(start_of_one_s, 1),
        "start_of_two_s": round(start_of_two_s, 1),
        "runs": runs,
    }
