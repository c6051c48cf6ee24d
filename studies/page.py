"""The page on what the studies show, from their kept results."""

from collections.abc import Iterator
from pathlib import Path

from lab.common.formatting import number
from lab.reporting.markdown import table
from studies.common import store
from studies.common.scenes import APPLICATIONS, PER_EDGE_MACHINE, SIZES, demand_of
from studies.common.sizing import ClusterDemand, limited_gpus
from studies.registry import NAMES, STUDIES
from studies.steps import judged

REMARKS = Path(__file__).parent / "remarks"
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evaluation.md"
FIGURES = ROOT / "docs" / "figures" / "studies"

HEAD = """# What the planners achieve

Written by `python -m studies page` from the results of `python -m studies NAME`; do not edit
it. Remarks are kept in `studies/remarks/`. Runs are paired: all planners of one seed meet the
same queries, devices, links and data. Intervals are 95 % intervals of Student's t over seeds, of
ratios by their logarithms; those of shares, and of differences between shares, are cut where the
truth cannot lie; p-values are adjusted for all planners by Holm's procedure. Results are of the
code as it was when an experiment was run; after a change, run it again: runs that are still valid
are kept under `outputs/evaluation`, so that only the others are made.

The paper gives no values of its testbed, so ratios and orders are compared, not absolute figures.
Compass was made with its eyes on seeds 0 to 9, which are those of most sections: its lead may be a
little flattered by them. Where other seeds were run besides, the section says so.
"""


def page() -> str:
    """Return the page as Markdown; it follows from the stored results and the remarks alone."""
    lines = [HEAD, *_studies(), *_sizes()]
    for name, study in STUDIES.items():
        if store.read(name) is not None or name not in NAMES.values():
            lines += [f"## {study.TITLE}", "", *_about(name), *_remark(name)]
    return "\n".join(lines).rstrip() + "\n"


def draw() -> list[Path]:
    """Draw the figures of all studies that were run; return their paths."""
    paths = []
    for name, study in STUDIES.items():
        found = store.read(name)
        if found is not None:
            paths += study.draw(found[1], FIGURES)
    return paths


def _about(name: str) -> Iterator[str]:
    """Yield how a study was run, what it shows, and its figures."""
    found = store.read(name)
    if found is None:
        yield f"Not run yet: `python -m studies {name}`."
        yield ""
        return
    about, rows = found
    yield (
        f"`{about.command}`: {about.seeds} seeds, {about.runs} runs, "
        f"{about.core_s / 60:.0f} core-minutes."
    )
    yield ""
    yield from STUDIES[name].lines(rows)
    if findings := judged(name, rows):
        yield "What the paper claims, by these runs:"
        yield ""
        yield from table(
            ["claim", "ours", "verdict"], ([one.claim, one.ours, one.verdict] for one in findings)
        )
    for path in sorted([*FIGURES.glob(f"{name}.png"), *FIGURES.glob(f"{name}-*.png")]):
        yield f"![{STUDIES[name].TITLE}](figures/studies/{path.name})"
        yield ""


def _remark(name: str) -> Iterator[str]:
    path = REMARKS / f"{name}.md"
    if path.exists():
        yield path.read_text(encoding="utf-8").strip()
        yield ""


def _studies() -> Iterator[str]:
    """Yield which studies there are, and how to run one."""
    yield "## Studies"
    yield ""
    yield (
        "From a checkout: `python -m studies NAME`, or `all`; `--seeds` and `--jobs` say how "
        "many (seeds also which), `--quick` tries one out in a minute or so without a result for "
        "this page, and `--planners` compares others. What was run already is not run again. A "
        "study of a figure of the paper is also run by `compass-lab reproduce FIGURE`, which "
        "writes [a page of verdicts](reproduction/index.md); without kept results it has no "
        "section here."
    )
    yield ""
    figures = {name: number for number, name in NAMES.items()}
    yield from table(
        ["name", "figure", "what it shows"],
        (
            [name, figures.get(name, ""), str(study.__doc__).partition("\n")[0]]
            for name, study in STUDIES.items()
        ),
    )


def _sizes() -> Iterator[str]:
    """Yield the sizes of scenes, as worked out before any planner ran."""
    yield "## Sizes"
    yield ""
    yield (
        "Queries arrive from an empty start and stay for ten minutes on average; the load grows to "
        "the number given at the end, and goodput counts the second half. *Limited* clusters have "
        "as many A100 machines as the least demand takes, rounded to the nearest whole number: "
        "that of all queries, each by the "
        "configuration that takes least GPU time of those that reach its accuracy floor, at the "
        "utilisation that stations may reach. An L4 machine at the edge site for every "
        f"{PER_EDGE_MACHINE} queries comes on top, and so do the users' devices; partitions and "
        "network take away. At full quality, by the most accurate configuration, demand is a "
        "multiple of that. *Unlimited* clusters have two A100 machines and one L4 machine for each "
        "query, rented only while in use. Profiling lanes are as many as queries, and the site's "
        "backhaul has 10 Mbit/s for each. All follows from "
        "tables and workload (`studies/common/sizing.py`), and was fixed before planners were run."
    )
    yield ""
    heads = ["scene", "queries at the end", "simulated", "A100s needed at least"]
    heads += ["at full quality", "limited: A100 + L4 machines"]
    yield from table(
        heads,
        (
            _size_row(f"{application} {name}", size.queries, size.horizon_s, demand_of(application))
            for application in APPLICATIONS
            for name, size in SIZES.items()
        ),
    )
    yield from _remark("sizes")


def _size_row(name: str, queries: int, horizon_s: float, each: ClusterDemand) -> list[str]:
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
