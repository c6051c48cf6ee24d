"""Hashes of the results of twelve shipped runs, to check whether a change keeps them.

Each run is made by the public command, so that modules may move. Hashes hold for one set of
versions and one kind of CPU, which the record names.

    python -m tests.golden.tables                 check all runs against the record
    python -m tests.golden.tables chat coding     check these
    python -m tests.golden.tables --write         record all, or these, anew

Tables and columns that are not in the record are listed, and do not count as a difference.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from llvmlite.binding import get_host_cpu_name as cpu_name

Hashes = dict[str, str]
"""By table of a planner's run, ``column=hash ...``; likewise of its summary and its files."""

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path(__file__).with_suffix(".json")
COMMAND = """\
import sys, tomllib
from importlib.metadata import EntryPoint
with open("pyproject.toml", "rb") as file:  # what is installed may be of another checkout
    target = tomllib.load(file)["project"]["scripts"]["compass-sim"]
sys.exit(EntryPoint("compass-sim", target, "console_scripts").load()())
"""
SMOOTH_RUNS = {
    "speech": "experiment=speech_small planner=comparison horizon_s=600 flush_every_s=120 "
    "drift=device_slowdown requests=true",
    "edf": "-m experiment=speech_small planner=compass,vulcan,greedy,random_feasible "
    "data_plane=events horizon_s=300 cluster=large network=home workload.rate=0.3 "
    "cluster.discipline=edf cluster.shed_late=true drift=link_degradation requests=true",
    "ablations": "-m experiment=paper/fig14a planner=compass,compass_no_profiler,compass_no_search,"
    "compass_no_scheduler,compass_cold,compass_cost,vulcan_15s seed=0 horizon_s=240 "
    "workload.rate=0.2 cluster.discipline=priority drift=machine_failure",
    "sharing": "experiment=tracking_small planner=comparison_15s "
    "+planner@planner.compare.static_plan=static_plan planner.compare.static_plan.processes=2 "
    "+planner.compare.compass.search.model.choices._target_=sim.Choices "
    "+planner.compare.compass.search.model.choices.thread_percents=[50,100] "
    "+planner.compare.compass.search.model.choices.max_batches=[1,4] "
    "+planner.compare.compass.search.model.choices.max_wait_s=0.05 "
    "+planner.compare.compass.search.model.choices.replicas=[1,2] "
    "horizon_s=400 workload.rate=0.08 network=wifi drift=mps_fault requests=true",
    "frames": "experiment=tracking_frames_large horizon_s=180 workload.rate=1.0 network=mmwave "
    "cluster.discipline=edf cluster.shed_late=true drift=link_degradation",
    "chat": "-m experiment=chat_small planner=compass_15s,cheapest_feasible_15s,chameleon,"
    "chameleon_15s seed=1 data_plane=events cluster=cloud_only network=low_band "
    "workload=azure_code workload.rate=0.1 drift=content_shift requests=true",
    "captioning": "experiment=captioning_hours planner=comparison_600s "
    "workload=azure_conversation workload.rate=0.002 drift=planner_crash requests=true",
    "coding": "-m experiment=paper/fig14a_code planner=compass,infaas,jellybean seed=0 "
    "data_plane=events network=lte cluster.discipline=priority cluster.shed_late=true "
    "drift=machine_failure",
    "optimum": "-m experiment=paper/fig10_optimum planner=ilp,compass_no_delay,compass_all_plans,"
    "compass_sees_truth application=speech_recognition seed=0 "
    "network=wired workload.rate=0.03",
    "content": "-m experiment=paper/fig17_content planner=compass,compass_no_replanning,cherrypick,"
    "infaas_5s,jellybean_5s,jellybean_checked,videostorm_15s,videostorm_max_min seed=0 "
    "network=mobile",
}
"""Runs in the smooth world, by their names; with ``-m``, there is one for each planner."""

SMOOTH = (
    "switching=free network.capacity=speed_tests cluster.service_cv=0 cluster.speed_log_sd=0 "
    "application.size_scales=all application.accuracy.rank_correlation=1"
)
STRAIGHT = "application.accuracy.spread=straight"
"""The options of the smooth world, and one more of speech recognition."""
FREE = "profiling=free workload.content_concentration=20"
"""Free profiling, and users who differ as before concentrations were measured."""
ALIKE = "application.datasets.MOT17.strata=null"
"""Cameras of MOT17 that are all alike."""
IN_TRACKING = ("ablations", "sharing", "frames")
IN_LANES = ("ablations", "optimum", "content")
IN_SPEECH = ("speech", "edf", "optimum", "content")

RUNS = {
    **{
        name: " ".join(
            (
                words,
                FREE,
                SMOOTH,
                *[STRAIGHT] * (name in IN_SPEECH),
                *[ALIKE] * (name in IN_TRACKING),
                *["cluster.profiling.lanes=100"] * (name in IN_LANES),
            )
        )
        for name, words in SMOOTH_RUNS.items()
    },
    "rough": "experiment=speech_small planner=comparison requests=true",
    "rough_tracking": "-m experiment=tracking_small planner=compass_15s,greedy,spare_machines "
    "data_plane=events seed=1",
}
"""What each run is asked for, by its name."""

SUMMARY, FILES = "summary.json", "bytes of files"
NO_RESULTS = ("wall_s", "planning_wall_s", "bound_wall_s", "versions")
"""Keys of a summary that are left out: times of the wall, and what the record names once."""
DECISIVE = ("numpy", "scipy", "scikit-learn", "numba", "polars")


def made_by() -> dict[str, str]:
    """Return what results depend on beside the code: versions, and the kind of CPU."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: version(name) for name in DECISIVE}, "cpu": cpu_name()}


def digest(content: bytes | str, size: int = 4) -> str:
    """Return a hash in hexadecimal digits."""
    data = content.encode() if isinstance(content, str) else content
    return blake2b(data, digest_size=size).hexdigest()


def hashes(directory: Path) -> Hashes:
    """Return the hashes of the run in a directory.

    A column's hash is of its type and its values in all parts of its table. A planner's class is
    named without its module.
    """
    summary = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
    summary["planner_class"] = summary["planner_class"].rpartition(".")[2]
    kept = {key: digest(json.dumps(summary[key])) for key in summary if key not in NO_RESULTS}
    parts = sorted(directory.glob("*/*.parquet"))
    files = {f"{each.parent.name}/{each.stem}": digest(each.read_bytes(), 16) for each in parts}
    found = {FILES: joined(files), SUMMARY: joined(kept)}
    for table in sorted({each.parent for each in parts}):
        frame = pl.concat(pl.read_parquet(each) for each in parts if each.parent == table)
        columns = {one.name: digest(f"{one.dtype!r} {one.to_list()!r}") for one in frame}
        found[table.name] = joined(columns)
    return found


def joined(sums: Mapping[str, str]) -> str:
    """Return hashes as a line."""
    return " ".join(f"{key}={value}" for key, value in sums.items())


def run(name: str) -> dict[str, Hashes]:
    """Make a run in a directory that is then removed; return the hashes of each planner's.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch, "results")
        where = [f"hydra.run.dir={results}", f"hydra.sweep.dir={results}"]
        words = [sys.executable, "-c", COMMAND, *RUNS[name].split(), "figures=false", *where]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError("; ".join(["failed", *done.stderr.strip().splitlines()[-2:]]))
        places = sorted({part.parents[1] for part in results.rglob("*.parquet")})
        return {place.relative_to(results).as_posix(): hashes(place) for place in places}


def additions(kept: Hashes, found: Hashes) -> list[str]:
    """Return what a planner's record lacks: tables, and ``table/column`` of tables that it has."""
    tables = [table for table in found if table not in kept]
    columns = [
        f"{table}/{name}"
        for table in kept
        if table != FILES
        for name in names_of(found.get(table, "").split())
        if name not in names_of(kept[table].split())
    ]
    return sorted(tables + columns)


def all_additions(kept: Mapping[str, Hashes], found: Mapping[str, Hashes]) -> list[str]:
    """Return the additions to any planner's record."""
    planners = kept.keys() & found.keys()
    return sorted({each for one in planners for each in additions(kept[one], found[one])})


def differences(kept: Mapping[str, Hashes], found: Mapping[str, Hashes]) -> Iterator[str]:
    """Yield a line for each planner's table that differs, its summary, and files by their bytes.

    Only what the record has is compared. Files of tables with additional columns are left out,
    because their bytes must differ.
    """
    for planner in sorted({*kept, *found}):
        if planner not in kept or planner not in found:
            yield f"{planner}: {'missing' if planner in kept else 'not in the record'}"
            continue
        before, after = kept[planner], found[planner]
        longer = {each.partition("/")[0] for each in additions(before, after)}
        for table in sorted(before):
            lines = [side.get(table, "").split() for side in (before, after)]
            if table == FILES:
                lines = [[each for each in line if table_of(each) not in longer] for line in lines]
            else:
                names = names_of(lines[0])
                lines[1] = [each for each in lines[1] if each.partition("=")[0] in names]
            if lines[0] != lines[1]:
                # Without any, it is the order that differs.
                yield f"{planner}/{table}: {', '.join(names_of(only_in_one(*lines))) or 'order'}"


def table_of(file: str) -> str:
    """Return the table of a file from its ``table/part=hash``."""
    return file.partition("/")[0]


def names_of(words: Iterable[str]) -> dict[str, None]:
    """Return the names in words ``name=hash``, in their order."""
    return dict.fromkeys(each.partition("=")[0] for each in words)


def only_in_one(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the words that are only in one of two lists, in their order."""
    return [word for word in (*before, *after) if (word in before) != (word in after)]


def read_record() -> dict[str, Any]:
    """Return the record, with ``made_by`` and ``runs``; an empty one where there is none."""
    if not RECORD.exists():
        return {"made_by": made_by(), "runs": {}}
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or record; return 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.tables", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RUNS)}")
    parser.add_argument("--write", action="store_true", help="record anew")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(RUNS):
        parser.error(f"no run is named {', '.join(sorted(unknown))}; there are {', '.join(RUNS)}")
    record, here = read_record(), made_by()
    if record["made_by"] != here:
        print(f"note: the record is of {record['made_by']}, this is {here}")
        if given.write and given.names:
            parser.error("--write must record all runs where versions or CPU are others")
    status = 0
    for name in given.names or RUNS:
        before, lines, more = os.times(), [], []
        try:
            found = run(name)
            if given.write:
                record["runs"][name] = found
            else:
                kept = record["runs"].get(name, {})
                lines, more = list(differences(kept, found)), all_additions(kept, found)
        except RuntimeError as error:
            lines = [str(error)]
        cpu_s = sum(os.times()[:4]) - sum(before[:4])
        state = "differs" if lines else "recorded" if given.write else "same"
        lines += [f"not in the record: {', '.join(more)}"] if more else []
        print(f"{name:<11} {state:<9} {cpu_s:5.1f} s of CPU", *lines, sep="\n    ", flush=True)
        status = status or int(state == "differs")
    if given.write and not status:
        runs = {name: record["runs"][name] for name in RUNS if name in record["runs"]}
        text = json.dumps({"made_by": here, "runs": runs}, indent=1)
        RECORD.write_text(f"{text}\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
