"""Runs a benchmark by name, or lists the names; keeps figures; writes the page of kept figures."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import benchmarks
from lab.behaviour import BEFORE, shipped, told
from lab.common.errors import choices
from lab.reporting.render import render

NAMES = sorted(
    module.name for module in iter_modules(benchmarks.__path__) if not module.name.startswith("_")
)
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "benchmarks.md"


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
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
        print(f"{' '.join(arguments)}: give one name, then `keep` or nothing", file=sys.stderr)
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
        made = json.loads(figures) | {"behaviour": told(shipped())}
        (RESULTS / f"{arguments[0]}.json").write_text(json.dumps(made) + "\n", encoding="utf-8")
    return 0


def page() -> str:
    """Return the page of all kept figures as Markdown."""
    kept = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
    }
    shown = [
        (
            name,
            (import_module(f"benchmarks.{name}").__doc__ or "").strip(),
            figures.get("behaviour", BEFORE),
            list(_tables(figures)),
        )
        for name, figures in kept.items()
    ]
    return render("benchmarks.md.jinja", "benchmarks", kept=kept, benchmarks=shown).rstrip() + "\n"


def _tables(figures: dict[str, Any]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield heads and rows of tables for single figures, lists of rows, and groups."""
    single = {
        key: value
        for key, value in figures.items()
        if key not in ("benchmark", "behaviour") and not isinstance(value, list | dict)
    }
    if single:
        yield ["figure", "value"], [[key, _text(value)] for key, value in single.items()]
    for key, value in figures.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield list(value[0]), [list(map(_text, row.values())) for row in value]
        elif isinstance(value, dict):
            yield [key, "value"], [[name, _text(each)] for name, each in value.items()]


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
