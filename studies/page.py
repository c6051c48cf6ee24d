"""The evaluation page, made from the stored results of studies."""

from pathlib import Path
from typing import Any

from lab.reporting.render import render
from studies.common import regime, store
from studies.registry import BEYOND, NAMES, STUDIES

REMARKS = Path(__file__).parent / "remarks"
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "evaluation.md"
FIGURES = ROOT / "docs" / "evidence" / "figures" / "studies"


def page() -> str:
    """Return the page as Markdown; it depends only on the stored results and the remarks."""
    figures = {name: number for number, name in NAMES.items()}
    text = render(
        "evaluation.md.jinja",
        "studies",
        studies=[
            (name, figures.get(name, ""), str(study.__doc__).partition("\n")[0])
            for name, study in STUDIES.items()
        ],
        judged=regime.told_apart(),
        without_runs=regime.WITHOUT_RUNS,
        sections=[_section(name) for name in BEYOND],
    )
    return text.rstrip() + "\n"


def draw() -> list[Path]:
    """Draw the figures of the page's studies with stored results; return their paths."""
    paths = []
    for name, study in BEYOND.items():
        found = store.read(name)
        if found is not None:
            paths += study.draw(found[1], FIGURES)
    return paths


def _section(name: str) -> dict[str, Any]:
    about, kept = store.read_rows(name) or (None, None)
    rows = None if kept is None else store.frame(kept)
    said = regime.line(regime.scenes(kept or ()))
    pictures = [*FIGURES.glob(f"{name}.png"), *FIGURES.glob(f"{name}-*.png")]
    return {
        "name": name,
        "title": BEYOND[name].TITLE,
        "about": about,
        "lines": [] if rows is None else list(regime.below_tables(BEYOND[name].lines(rows), said)),
        "regime": said,
        "pictures": [path.name for path in sorted(pictures)],
        "remark": _remark(name),
    }


def _remark(name: str) -> str:
    path = REMARKS / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
