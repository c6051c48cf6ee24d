"""The sources of facts: commands that pages tell readers to run, and what pages tell of results."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from os import environ
from pathlib import Path
from typing import Any

import polars as pl

from lab.behaviour import shipped
from lab.common.errors import InputError
from lab.runs.run_directory import planner_directories, read_summary

ROOT = Path(__file__).resolve().parents[2]
SAVED = re.compile(r"`([\w/]+\.(?:py|yaml))`[^`]*\n```(?:python|yaml)\n(.*?)^```$", re.S | re.M)
"""A file that a page tells readers to save."""
VARIES = re.compile(r"wall time|^The runs have behaviour")
"""Lines of outputs that differ from time to time, or with versions that decide nothing there."""


@dataclass(frozen=True)
class Outcome:
    """What the commands of a source left: their output, and the directory in which they ran."""

    printed: list[str]
    folder: Path

    def summary(self, directory: str, planner: str, key: str) -> float:
        """Return a number of the summary of a planner's run below a directory."""
        found = planner_directories(self.folder / directory)
        return float(read_summary(found[planner] if len(found) > 1 else min(found.values()))[key])

    def number(self, pattern: str, command: int = -1) -> float:
        """Return the number that a pattern's group finds in the output of a command.

        Raises:
            InputError: nothing is found.
        """
        found = re.search(pattern, self.printed[command])
        if found is None:
            raise InputError(f"no {pattern!r} in what was printed")
        return float(found[1].replace(",", ""))

    def part(self, command: int, pattern: str) -> str:
        """Return the part of the output of a command that a pattern finds, without what varies.

        Raises:
            InputError: nothing is found.
        """
        found = re.search(pattern, self.printed[command])
        if found is None:
            raise InputError(f"no {pattern!r} in what was printed")
        lines = found[0].splitlines()
        return "\n".join(line.rstrip() for line in lines if not VARIES.search(line))


def words_of(command: str) -> list[str]:
    """Return the words of a command; its program is that of this environment."""
    program, *rest = shlex.split(command)
    return [str(Path(sys.executable).parent / program), *rest]


@dataclass(frozen=True)
class Fact:
    """A measured number: its unit, its rounding, and how it is read off an outcome."""

    unit: str
    digits: int
    of: Callable[[Outcome], float]


@dataclass(frozen=True)
class Source:
    """Commands, and the facts of their results.

    Attributes:
        commands: run one after the other in a directory of their own.
        planners: classes of the planners on which results depend; ``*`` for all.
        facts: by name; a name is used once in all sources.
        prints: names of outputs that pages show, with the part of the output, as a pattern.
        page: page whose files to save are in the directory.
        example: directory of the checkout whose files are in the directory.
        figures: files that the commands draw, and where in ``docs/figures`` they are kept.
    """

    commands: tuple[str, ...]
    planners: tuple[str, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)
    prints: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    page: str | None = None
    example: str | None = None
    figures: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> dict[str, Any]:
        """Return what the results depend on: commands, saved files and behaviour versions."""
        versions = shipped()
        chosen = {each: versions[each] for each in ("world", *sorted(self.planners))}
        decisive = self.files(), [*self.facts], {**self.prints}, {**self.figures}
        return {
            "commands": list(self.commands),
            "digest": sha256(repr(decisive).encode()).hexdigest()[:12],
            "behaviour": chosen,
        }

    def files(self) -> dict[str, bytes]:
        """Return the files of the example, and those that the page tells readers to save."""
        found: dict[str, bytes] = {}
        if self.example is not None:
            place = ROOT / self.example
            paths = sorted(path for path in place.rglob("*") if path.is_file())
            found |= {str(path.relative_to(place)): path.read_bytes() for path in paths}
        if self.page is not None:
            saved = SAVED.findall((ROOT / self.page).read_text(encoding="utf-8"))
            found |= {name: code.encode() for name, code in saved}
        return found

    def run(self, folder: Path) -> Outcome:
        """Run the commands in a directory.

        Raises:
            InputError: a command fails.
        """
        for name, content in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        printed = []
        for command in self.commands:
            done = subprocess.run(
                words_of(command),
                cwd=folder,
                env=environ | {"COLUMNS": "100"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise InputError(f"{command}: {' '.join(last)}")
            printed.append(done.stdout)
        return Outcome(printed, folder)


def goodput(directory: str, planner: str, digits: int = 2) -> Fact:
    """Return the fact of a planner's service goodput."""
    return Fact(
        "queries", digits, lambda made: made.summary(directory, planner, "service_goodput_mean")
    )


def share(directory: str, planner: str, key: str = "slo_met_fraction") -> Fact:
    """Return the fact of a share of time."""
    return Fact("share", 3, lambda made: made.summary(directory, planner, key))


def dollars(directory: str, planner: str, key: str) -> Fact:
    """Return the fact of a sum of money."""
    return Fact("USD", 2, lambda made: made.summary(directory, planner, key))


def printed(unit: str, digits: int, pattern: str, command: int = -1) -> Fact:
    """Return the fact of a number that a command prints."""
    return Fact(unit, digits, lambda made: made.number(pattern, command))


def swept(made: Outcome, planner: str, rate: float) -> float:
    """Return the mean goodput of a planner at a rate of the first sweep."""
    runs = pl.read_parquet(made.folder / "multirun/first/report/runs.parquet")
    chosen = runs.filter(pl.col("planner") == planner, pl.col("workload.rate") == rate)
    return float(chosen["service_goodput_mean"].to_numpy().mean())


def compared(unit: str, digits: int, metric: str, setting: str) -> Fact:
    """Return the fact of a mean of a setting that ``compass-lab what-if`` prints."""
    return printed(unit, digits, rf"{metric} [^\0]*?{setting} +\d+ +{NUMBER}")


NUMBER = r"(-?[\d.,e+-]*\d)"
THREE = ("CheapestFeasible", "VideoStorm", "Compass")
SHORT = {"simple": "cheapest_feasible", "videostorm": "videostorm", "compass": "compass"}
READING = "compass-sim --config-dir . application=document_reading workload.rate=0.05 horizon_s=600"
FAST = "switching=free network.capacity=speed_tests"

SOURCES: dict[str, Source] = {
    "first_run": Source(
        (
            "compass-sim experiment=speech_small hydra.run.dir=outputs/three",
            "compass-lab explain outputs/three/cheapest_feasible 36",
            "compass-lab explain outputs/three/cheapest_feasible 12",
        ),
        THREE,
        {
            **{f"{short}_goodput": goodput("outputs/three", name) for short, name in SHORT.items()},
            **{f"{short}_share": share("outputs/three", name) for short, name in SHORT.items()},
            **{
                f"{short}_{what}": dollars("outputs/three", name, key)
                for short, name in SHORT.items()
                for what, key in (
                    ("cost", "deployment_cost_usd"),
                    ("profiling_cost", "profiling_cost_usd"),
                )
            },
            "active": Fact(
                "queries",
                2,
                lambda made: made.summary("outputs/three", "compass", "active_queries_mean"),
            ),
            "possible_share": share("outputs/three", "compass", "goodput_bound"),
            "profiled_of_36": printed(
                "configurations", 0, r"of (\d+)\s+configurations profiled", 1
            ),
            "transfer_of_12": printed("s", 2, r"transfer to\s+\w+,\s+([\d.]+) s", 2),
            "compass_response": Fact(
                "s", 2, lambda made: made.summary("outputs/three", "compass", "response_time_p50_s")
            ),
        },
        {
            "first_run": (0, r"┏[^\0]*┘"),
        },
        figures={
            "outputs/three/figures/goodput.png": "start/goodput.png",
            "outputs/three/figures/latency_parts.png": "start/latency_parts.png",
        },
    ),
    "speed_tests": Source(
        (
            "compass-sim experiment=speech_small planner=compass network.capacity=speed_tests "
            "hydra.run.dir=outputs/fast",
        ),
        ("Compass",),
        {"speed_tests_share": share("outputs/fast", "compass")},
    ),
    "offload": Source(
        (
            "compass-sim planner._target_=my_pkg.Offload experiment=speech_small "
            "hydra.run.dir=outputs/offload",
        ),
        (),
        {"offload_goodput": goodput("outputs/offload", "Offload")},
        page="README.md",
    ),
    "own_planner": Source(
        (
            "compass-sim experiment=speech_small "
            "+planner.compare.careful._target_=my_planner.Careful hydra.run.dir=outputs/mine",
            "python my_comparison.py",
        ),
        THREE,
        {
            "careful_goodput": goodput("outputs/mine", "careful"),
            "careful_low": printed("queries", 2, rf"in \[{NUMBER},"),
            "careful_ratio_low": printed("", 2, rf"ratio .* in \[{NUMBER},"),
        },
        {"my_comparison": (1, r"[^\0]*")},
        page="docs/start/own_planner.md",
        figures={"outputs/mine/figures/goodput.png": "start/own_planner.png"},
    ),
    "slow_backhaul": Source(
        (
            "compass-sim experiment=speech_small network.backhaul_bps=5e7 "
            "hydra.run.dir=outputs/slow",
        ),
        THREE,
        {f"{short}_slow": goodput("outputs/slow", name) for short, name in SHORT.items()},
        figures={"outputs/slow/figures/goodput.png": "start/what_if.png"},
    ),
    "first_sweep": Source(
        (
            "compass-sim -m experiment=speech_small planner=cheapest_feasible,videostorm "
            "workload.rate=0.1,0.2 'seed=range(5)' hydra.sweep.dir=multirun/first figures=false",
            "compass-lab report multirun/first",
        ),
        ("CheapestFeasible", "VideoStorm"),
        {
            f"{short}_goodput_at_{at}": Fact("queries", 2, partial(swept, planner=name, rate=rate))
            for short, name in (("simple", "CheapestFeasible"), ("videostorm", "VideoStorm"))
            for at, rate in (("half", 0.1), ("full", 0.2))
        }
        | {
            f"sweep_{name}": printed(
                "queries", 3, rf"rate=0.2: [^\0]*Paired[^\0]*?service_goodput_mean +5 +{pattern}"
            )
            for name, pattern in (
                ("difference", NUMBER),
                ("low", rf"\S+ +\[{NUMBER},"),
                ("high", rf"\S+ +\[\S+ {NUMBER}\]"),
            )
        },
        {
            "first_sweep": (1, r"multirun/first: workload.rate=0.2: (?:.*\n){8}"),
        },
        figures={"multirun/first/report/figures/by_workload_rate.png": "start/sweep.png"},
    ),
    "capacity": Source(
        (
            "compass-lab capacity experiment=speech_small planner=videostorm --vary "
            "'cluster.nodes.cloud.count=range(1,5)' --at-least 0.25",
        ),
        ("VideoStorm",),
        {
            "one_machine_low": printed(
                "share", 3, rf"\[{NUMBER}, [\d.]+\] +\w+ +cluster.nodes.cloud.count=1"
            ),
        },
        {"capacity": (0, r" +\$/hour .*\n(?: +\d.*\n)+")},
    ),
    "sensitivity": Source(
        (
            "compass-lab sensitivity experiment=speech_small planner=videostorm --vary "
            "workload.rate=0.08,0.125 --vary network.backhaul_bps=5e7,2e8 --vary "
            "cluster.cloud_boot_s=25,164 --seeds 8",
        ),
        ("VideoStorm",),
        {
            "backhaul_change": printed("share", 3, rf"5e\+07 +\d+ +[\d.]+ +{NUMBER} \["),
            "boot_change": printed("share", 3, rf" 25 +\d+ +[\d.]+ +{NUMBER} \["),
        },
        {"sensitivity": (0, r"base: [^\0]*?\n\n[^\0]*?(?=\n\n|\Z)")},
    ),
    "document_reading": Source(
        (
            f"{READING} {FAST} planner=compass hydra.run.dir=outputs/fast",
            f"{READING} planner=compass hydra.run.dir=outputs/rough",
            f"{READING} {FAST} planner=cheapest_feasible hydra.run.dir=outputs/simple",
            f"{READING} {FAST} planner=greedy hydra.run.dir=outputs/greedy",
        ),
        ("CheapestFeasible", "Compass", "Greedy"),
        {
            "reading_active": Fact(
                "queries", 2, lambda made: made.summary("outputs/fast", "", "active_queries_mean")
            ),
            "reading_goodput": goodput("outputs/fast", ""),
            "reading_rough_goodput": goodput("outputs/rough", ""),
            "reading_simple_goodput": goodput("outputs/simple", ""),
            "reading_greedy_goodput": goodput("outputs/greedy", ""),
        },
        {"document_reading": (0, r"┏[^\0]*┘")},
        example="docs/examples/document_reading",
    ),
    "leaderboard": Source(
        ("compass-lab leaderboard .",),
        ("CheapestFeasible", "VideoStorm"),
        {},
        {"leaderboard": (0, r"┏[^\0]*?call_s.*\n")},
        page="docs/how_to/running_a_leaderboard.md",
    ),
    "predicting": Source(
        (
            "compass-lab calibrate --observations slow fast --out measured",
            "compass-lab compare first second --tables measured --bound-s 0.3",
        ),
        (),
        {},
        {"predicting": (1, r"┏[^\0]*┘")},
        example="tests/lab/samples/served_stub",
    ),
    "spare_machines": Source(
        (
            "compass-lab what-if experiment=tracking_small cluster=large "
            "network.capacity=speed_tests planner=spare_machines planner.spare=0 "
            "--change planner.spare=1 --change planner.spare=2 --seeds 4",
        ),
        ("Greedy",),
        {
            f"spare_{spare}_{name}": compared(unit, digits, metric, setting)
            for name, unit, digits, metric in (
                ("share", "share", 3, "slo_met_fraction"),
                ("cost", "USD", 2, "deployment_cost_usd"),
            )
            for spare, setting in enumerate(("as it is", "change 1", "change 2"))
        },
    ),
    "boards": Source(
        (
            "compass-lab what-if experiment=speech_small planner=compass "
            "--change cluster.profiling.count=2 cluster.profiling.workers=2 "
            "--change cluster.profiling.count=8 cluster.profiling.workers=8 "
            "--change cluster.profiling.workers=1 --seeds 4",
        ),
        ("Compass",),
        {
            f"{boards}_{name}": compared(unit, 3, metric, setting)
            for name, unit, metric in (
                ("goodput", "queries", "service_goodput_mean"),
                ("per_dollar", "query-hours/USD", "goodput_per_usd"),
            )
            for boards, setting in (
                ("boards_4", "as it is"),
                ("boards_2", "change 1"),
                ("boards_8", "change 2"),
                ("lanes_4", "change 3"),
            )
        },
    ),
}
