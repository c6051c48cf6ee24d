"""The evaluation page, made from the stored results of studies."""

from pathlib import Path
from typing import Any

from lab.analysis.sizing import ClusterDemand, limited_gpus
from lab.common.formatting import number
from lab.reporting.render import render
from studies.common import regime, store
from studies.common.scenes import APPLICATIONS, PER_EDGE_MACHINE, SIZES, demand_of
from studies.registry import NAMES, STUDIES
from studies.steps import judged

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
        per_edge_machine=PER_EDGE_MACHINE,
        sizes=[
            _size(f"{application} {name}", size.queries, size.horizon_s, demand_of(application))
            for application in APPLICATIONS
            for name, size in SIZES.items()
        ],
        remark=_remark("sizes"),
        judged=regime.told_apart(),
        without_runs=regime.WITHOUT_RUNS,
        sections=[
            _section(name)
            for name in STUDIES
            if store.read(name) is not None or name not in NAMES.values()
        ],
    )
    return text.rstrip() + "\n"


def draw() -> list[Path]:
    """Draw the figures of all studies with stored results; return their paths."""
    paths = []
    for name, study in STUDIES.items():
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
        "title": STUDIES[name].TITLE,
        "about": about,
        "lines": [] if rows is None else list(regime.below_tables(STUDIES[name].lines(rows), said)),
        "findings": [one.row[:4] for one in (() if rows is None else judged(name, rows))],
        "regime": said,
        "pictures": [path.name for path in sorted(pictures)],
        "remark": _remark(name),
    }


def _remark(name: str) -> str:
    path = REMARKS / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _size(name: str, queries: int, horizon_s: float, each: ClusterDemand) -> list[str]:
    gpus = limited_gpus(queries, each)
    edge = max(1, queries // PER_EDGE_MACHINE)
    least, full = queries * each.least_gpus, queries * each.full_gpus
    return [
        name,
        str(queries),
        f"{horizon_s:g} s",
        number(least),
        f"{number(full)} ({number(full / gpus, 2)} times the A100s)",
        f"{gpus} + {edge}",
    ]
