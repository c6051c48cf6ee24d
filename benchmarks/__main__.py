"""Run a benchmark by name, or list the names; keep its figures; write the page of those kept."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import benchmarks
from lab.common.errors import choices

NAMES = sorted(
    module.name for module in iter_modules(benchmarks.__path__) if not module.name.startswith("_")
)
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

{short}

Figures of one measurement each, on one core of a shared server: a second one may differ by a third.
Ratios within one are worth more than figures. `python -m benchmarks` lists all benchmarks,
`python -m benchmarks NAME` measures, in seconds to some minutes, `python -m benchmarks NAME keep`
keeps figures, and `python -m benchmarks page` writes this page from those kept.
"""
SHORT = """In short: on one core, the `blocks` data plane serves {visits:.0f} million station visits
a second, draws and statistics included, where a *visit* is one request at one station. With 100
queries in both, it is {ratio:.0f} times as fast as the `events` data plane; with few requests under
way at a time, blocks are short, and it is less. An hour of 1,600 video streams, every frame a
request, takes {alone:.0f} seconds with fixed plans, and {planned:.0f} where Compass plans them as
they come and go."""


def main(arguments: list[str]) -> int:
    """Run one benchmark; return its exit status."""
    if not arguments or {"-h", "--help"} & {*arguments}:
        print("Benchmarks, each run by `python -m benchmarks NAME`:")
        for name in NAMES:
            print(
                f"  {name}: {(import_module(f'benchmarks.{name}').__doc__ or '').splitlines()[0]}"
            )
        return 0
    if arguments == ["page"]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    keep = arguments[1:] == ["keep"]
    if len(arguments) > 1 and not keep:
        print(f"{' '.join(arguments)}: give one name, and `keep` or nothing", file=sys.stderr)
        return 2
    if arguments[0] not in NAMES:
        print(
            f"{arguments[0]}: there is no such benchmark; {choices(arguments[0], NAMES)}",
            file=sys.stderr,
        )
        return 2
    figures = json.dumps(import_module(f"benchmarks.{arguments[0]}").measure())
    print(figures)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{arguments[0]}.json").write_text(figures + "\n", encoding="utf-8")
    return 0


def page() -> str:
    """Return the page of all figures that were kept, as Markdown."""
    kept = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
    }
    parts = [HEAD.format(short=_in_short(kept))]
    for name, figures in kept.items():
        about = (import_module(f"benchmarks.{name}").__doc__ or "").strip()
        parts += [f"## `{name}`\n\n{about}\n", *_tables(figures)]
    return "\n".join(parts)


def _in_short(kept: Mapping[str, dict[str, Any]]) -> str:
    """Return the figures that most people look for."""
    rates, large = kept["data_plane"], kept["large"]
    return SHORT.format(
        visits=rates["visits_per_s"] / 1e6,
        ratio=rates["ratio_to_events"],
        alone=large["data_plane_s"],
        planned=large["with_planning_s"],
    )


def _tables(figures: dict[str, Any]) -> Iterator[str]:
    """Yield tables of figures: of single ones, of lists of rows, and of groups."""
    single = {
        key: value
        for key, value in figures.items()
        if key != "benchmark" and not isinstance(value, list | dict)
    }
    if single:
        yield _table(["figure", "value"], single.items())
    for key, value in figures.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield _table(list(value[0]), (row.values() for row in value))
        elif isinstance(value, dict):
            yield _table([key, "value"], value.items())


def _table(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [head, ["---"] * len(head), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
