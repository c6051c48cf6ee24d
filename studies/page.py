"""The page on what the evaluation shows, from the results of its experiments."""

from pathlib import Path
from typing import Any

from lab.common.formatting import number
from lab.reporting.render import render
from studies.common import store
from studies.common.scenes import APPLICATIONS, PER_EDGE_MACHINE, SIZES, demand_of
from studies.common.sizing import ClusterDemand, limited_gpus
from studies.registry import EXPERIMENTS

REMARKS = Path(__file__).parent / "remarks"
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evaluation.md"
FIGURES = ROOT / "docs" / "figures"


def page() -> str:
    """Return the page as Markdown; it follows from the stored results and the remarks alone."""
    text = render(
        "evaluation.md.jinja",
        "studies",
        experiments=[
            (name, str(experiment.__doc__).splitlines()[0])
            for name, experiment in EXPERIMENTS.items()
        ],
        per_edge_machine=PER_EDGE_MACHINE,
        sizes=[
            _size(f"{application} {name}", size.queries, size.horizon_s, demand_of(application))
            for application in APPLICATIONS
            for name, size in SIZES.items()
        ],
        remark=_remark("sizes"),
        sections=list(map(_section, EXPERIMENTS)),
    )
    return text.rstrip() + "\n"


def draw() -> list[Path]:
    """Draw the figures of all experiments that were run; return their paths."""
    paths = []
    for name, experiment in EXPERIMENTS.items():
        found = store.read(name)
        if found is not None:
            paths += experiment.draw(found[1], FIGURES)
    return paths


def _section(name: str) -> dict[str, Any]:
    """Return how an experiment was run, what it shows, and its figures."""
    about, rows = store.read(name) or (None, None)
    return {
        "name": name,
        "title": EXPERIMENTS[name].TITLE,
        "about": about,
        "lines": [] if rows is None else list(EXPERIMENTS[name].section(rows)),
        "pictures": [path.name for path in sorted(FIGURES.glob(f"evaluation_{name}*.png"))],
        "remark": _remark(name),
    }


def _remark(name: str) -> str:
    path = REMARKS / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _size(name: str, queries: int, horizon_s: float, each: ClusterDemand) -> list[str]:
    """Return the size of a scene, as worked out before any planner ran."""
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
