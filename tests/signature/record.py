"""The record of the signature, and what a difference from it means."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isclose
from pathlib import Path

from llvmlite.binding import get_host_cpu_name

from lab.version import DECISIVE, versions
from tests.signature.runs import Numbers

FILE = Path(__file__).with_name("record.json")
TOLERANCE = 1e-7
"""Largest relative difference of two numbers that count as equal. Processors differ by 1e-12."""
DIGITS = 10
"""Significant digits that are recorded."""

Versions = dict[str, int | None]


@dataclass(frozen=True)
class Run:
    """What one run of the signature gave."""

    behaviour: Versions
    numbers: Numbers

    def moved(self, other: "Run") -> list[str]:
        """Return the names of the numbers that differ."""
        return [
            name
            for name in {**self.numbers, **other.numbers}
            if not isclose(
                self.numbers.get(name, -1.0),
                other.numbers.get(name, -1.0),
                rel_tol=TOLERANCE,
                abs_tol=TOLERANCE,
            )
        ]


@dataclass(frozen=True)
class Record:
    """All runs of the signature, with the packages and the kind of processor that made them."""

    made_by: dict[str, str]
    runs: dict[str, Run]

    @classmethod
    def of(cls, made: dict[str, tuple[Versions, Numbers]]) -> "Record":
        """Return the record of runs that were made here."""
        here = {name: str(versions()[name]) for name in ("python", *DECISIVE)}
        runs = {
            name: Run(behaviour, {key: float(f"{n:.{DIGITS}g}") for key, n in numbers.items()})
            for name, (behaviour, numbers) in made.items()
        }
        return cls({**here, "cpu": get_host_cpu_name()}, runs)

    @classmethod
    def read(cls) -> "Record | None":
        """Return the kept record; None if there is none."""
        if not FILE.exists():
            return None
        kept = json.loads(FILE.read_text(encoding="utf-8"))
        return cls(kept["made_by"], {name: Run(**run) for name, run in kept["runs"].items()})

    def write(self) -> None:
        """Keep this record."""
        FILE.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def problems(self, now: "Record") -> list[str]:
        """Return what must be done before `now` can be recorded: versions to raise, or to lower."""
        return [*self._unnoticed(now), *self._in_vain(now)]

    def outdated(self, now: "Record") -> list[str]:
        """Return why `now` must be recorded, if it must."""
        if {name: run.behaviour for name, run in self.runs.items()} == {
            name: run.behaviour for name, run in now.runs.items()
        }:
            return []
        return ["the record is of other behaviour versions: run `python3 tasks.py renew`"]

    def _both(self, now: "Record") -> Iterator[tuple[str, Run, Run]]:
        return ((name, self.runs[name], now.runs[name]) for name in self.runs if name in now.runs)

    def _unnoticed(self, now: "Record") -> Iterator[str]:
        """Yield sentences on runs that moved, although their versions did not."""
        moved = {
            name: (names, new.behaviour)
            for name, old, new in self._both(now)
            if (names := old.moved(new)) and old.behaviour == new.behaviour
        }
        if not moved:
            return
        planners = {key for _, versions in moved.values() for key in versions if key != "world"}
        for name, (names, _) in moved.items():
            changes = ", ".join(
                f"{each} {self.runs[name].numbers.get(each)} -> {now.runs[name].numbers.get(each)}"
                for each in names
            )
            yield f"{name}: {changes}"
        if self.made_by != now.made_by:
            yield f"the record is of {_told(self.made_by)}; these runs are of {_told(now.made_by)}"
        if "StaticPlan" in planners:  # Its plan is fixed, so the world moved.
            yield "results of the world moved: raise WORLD in sim/behaviour.py"
        else:
            yield (
                f"results of {', '.join(sorted(planners))} moved: raise the attribute `behaviour` "
                "of each of these planners, or WORLD in sim/behaviour.py if the change is there"
            )

    def _in_vain(self, now: "Record") -> Iterator[str]:
        """Yield sentences on versions that were raised, although no run of theirs moved."""
        raised: dict[str, bool] = {}
        for _, old, new in self._both(now):
            for name in new.behaviour:
                if old.behaviour.get(name) != new.behaviour[name]:
                    raised[name] = raised.get(name, False) or bool(old.moved(new))
        for name, moves in raised.items():
            if not moves:
                yield f"the version of {name} was raised, but no run of it moved: lower it again"


def _told(made_by: dict[str, str]) -> str:
    return ", ".join(f"{name} {each}" for name, each in made_by.items())
