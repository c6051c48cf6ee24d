"""Seconds from the command to the results: version 0.1 and now, in turns, as ratios.

Each version is copied from its commit and begins with an empty cache. `first_run` includes
compilation. All runs are small, so the new version never compiles the block data plane.
`with_figures` and `without_figures` find machine code in the cache. For version 0.1, both are the
same run, with figures. `until_run` is the time of a run without figures minus the time of its
simulation, which leaves the start of Python, imports and the configuration. CPU times include all
processes of the command. `bound` is the largest ratio that is accepted.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

ROOT = Path(__file__).parents[1]
VERSION_0_1 = "a0aaa63"
"""The commit of version 0.1, from which the ratios start."""
VERSIONS = {
    "before": (VERSION_0_1, "from lab.simulate import main; raise SystemExit(main())"),
    "now": ("HEAD", "from lab.cli.simulate import main; raise SystemExit(main())"),
}
ONE_PLANNER = ("experiment=speech_small", "planner=compass")
RUNS = {
    "first_run": (("experiment=speech_small",), 75 / 156),
    "with_figures": (ONE_PLANNER, 5 / 7),
    "without_figures": ((*ONE_PLANNER, "figures=false"), 3 / 7),
}
TIMES = 5


def copied(version: str, place: Path) -> None:
    """Copy the files of a commit to a directory."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", version], capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"no commit {version} here; a clone with its whole history is needed")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(place, filter="data")


def timed(place: Path, program: str, overrides: tuple[str, ...]) -> dict[str, float]:
    """Return the CPU and wall seconds of a command, and the wall seconds of its simulation."""
    environment = os.environ | {
        "PYTHONPATH": str(place),
        "XDG_CACHE_HOME": str(place / ".cache"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    with TemporaryDirectory() as directory:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program, *overrides, "hydra.run.dir=out"],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter() - started
        if done.returncode:
            raise SystemExit(f"the run failed:\n{done.stderr.strip()[-2000:]}")
        summaries = [json.loads(each.read_text()) for each in Path(directory).rglob("summary.json")]
    return {
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": wall_s,
        "until_run_s": wall_s - sum(each.get("wall_s", 0.0) for each in summaries),
    }


def measure() -> dict[str, Any]:
    """Return the figures."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {
        run: {version: [] for version in VERSIONS} for run in RUNS
    }
    with TemporaryDirectory() as home:
        for version, (commit, _) in VERSIONS.items():
            copied(commit, Path(home, version))
        for run, (overrides, _) in RUNS.items():
            for _ in range(1 if run == "first_run" else TIMES):
                for version, (_, program) in VERSIONS.items():
                    found[run][version].append(timed(Path(home, version), program, overrides))
    rows = [row("until_run", "until_run_s", found["without_figures"], None)]
    found["without_figures"]["before"] = found["with_figures"]["before"]
    rows += [row(run, "cpu_s", found[run], bound) for run, (_, bound) in RUNS.items()]
    for each in rows:
        print(each, flush=True)
    return {"benchmark": "start_up", "by_run": rows}


def row(
    run: str, figure: str, found: dict[str, list[dict[str, float]]], bound: float | None
) -> dict[str, Any]:
    """Return the medians of a figure in both versions, and their ratio."""
    before_s, now_s = (median(each[figure] for each in found[version]) for version in VERSIONS)
    return {
        "run": run,
        "figure": figure,
        "before": round(before_s, 2),
        "now": round(now_s, 2),
        "ratio": round(now_s / before_s, 2),
        "bound": "" if bound is None else round(bound, 2),
    }
