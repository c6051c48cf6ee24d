"""Seconds from the command to the end of a run of one simulated minute: first and second start.

The packages are copied to a place without compiled code, and `compass-sim` runs from there several
times. The first run compiles and says so; the others load the compiled code. `blocks` and `events`
are the data planes; the event plane needs less compilation. `of_it_the_run_s` is the time of the
second run itself, by its summary; the rest is Python, imports, the configuration, and loading
compiled code. All are wall-clock seconds on one core.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("hardware_models", "scenarios", "sim", "planners", "lab", "conf", "hydra_plugins")
PROGRAM = "from lab.cli.simulate import main; raise SystemExit(main())"
RUN = ("experiment=speech_small", "planner=cheapest_feasible", "horizon_s=60", "figures=false")
AGAIN = 5


def timed(home: Path, plane: str) -> tuple[float, dict[str, Any], str]:
    """Return the wall seconds of one command, the run's summary, and its standard error."""
    environment = os.environ | {"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": ""}
    with TemporaryDirectory() as directory:
        started = perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *RUN, f"data_plane={plane}", "hydra.run.dir=out"],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s = perf_counter() - started
        if done.returncode:
            raise SystemExit(f"the run failed:\n{done.stderr.strip()[-2000:]}")
        [path] = Path(directory).rglob("summary.json")
        return wall_s, json.loads(path.read_text(encoding="utf-8")), done.stderr


def measure() -> dict[str, Any]:
    """Return the figures."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    for plane in ("blocks", "events"):
        with TemporaryDirectory() as home:
            for package in PACKAGES:
                copytree(ROOT / package, Path(home, package), ignore=ignore_patterns("__pycache__"))
            first_s, _, said = timed(Path(home), plane)
            if "compiling" not in said:
                raise SystemExit("the first run did not say that it compiles")
            later = [timed(Path(home), plane) for _ in range(AGAIN)]
        row = {
            "plane": plane,
            "first_s": round(first_s, 1),
            "second_s": round(median(wall_s for wall_s, _, _ in later), 2),
            "of_it_the_run_s": round(median(each["wall_s"] for _, each, _ in later), 2),
        }
        print(row, flush=True)
        rows.append(row)
    return {"benchmark": "start_up", "by_plane": rows}
