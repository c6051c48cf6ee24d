"""The page on how good the fits are, from the data files that the fits wrote."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hardware_models.fits.registry import FITS
from hardware_models.predictors import PREDICTORS
from hardware_models.predictors.llm import simulated_engines
from hardware_models.schemas import PROVENANCE, SCHEMAS
from hardware_models.tables import accelerators, load_table

MOST_SOURCES = 4
DRAWN = ("gpu_latency", "llm_iteration", "llm_speed", "device_latency")
STACK_COLUMNS = ("engine", "backend", "precision")


@dataclass(frozen=True)
class AccuracyGoal:
    """What a fit is to reach: a declared aim, no measurement.

    Args:
        scheme: the way of holding rows out that it speaks of.
        median_pct: the largest median of the absolute error.
        p90_pct: its largest 90th percentile.
    """

    scheme: str
    median_pct: float
    p90_pct: float

    def verdict(self, row: Mapping[str, object]) -> str:
        """Return whether a row of a fit's errors reaches it; nothing for another scheme."""
        if row["scheme"] != self.scheme:
            return ""
        over = [
            f"{word} over {limit:g} %"
            for word, name, limit in (
                ("median", "median_pct", self.median_pct),
                ("p90", "p90_pct", self.p90_pct),
            )
            if float(str(row[name])) > limit
        ]
        return f"missed: {', '.join(over)}" if over else "met"


GOALS = {
    "gpu_latency": AccuracyGoal("random 5-fold", 3, 10),
    "llm_iteration": AccuracyGoal("random 5-fold", 5, 12),
}
"""The goals of the fits that have one."""

UNFITTED = {"accelerator_relative_speed": "row-out", "device_latency": "10-fold"}
"""Tables without a fit whose rows are predicted from the others, and how these are held out."""

SCHEMES = {
    "random 5-fold": "a random fifth of all rows at a time: how a point is predicted that a grid "
    "lacks",
    "curve out": "for each model one pair of slices and processes at a time, at every batch",
    "batch out": "for each model one batch size at a time, the smallest and the largest included",
    "row-out": "one row at a time",
    "10-fold": "every tenth row",
    "5-fold by cell": "a fifth of the cells at a time, whole, a cell being a model's prompt and "
    "batch over so many boards",
    "5-fold by curve": "a fifth of the curves at a time, whole",
    "5-fold by model": "a fifth of the models at a time, whole",
    "5-fold by model and size": "a fifth of the pairs of model and input size at a time",
}
"""The ways of holding rows out, and what each leaves unseen."""

HEAD = """# How well the hardware models predict

Written by `compass-lab validation-page --figures` from the files that `compass-lab fit` wrote; do
not edit it. `compass-lab validate ROWS.csv` says the same of rows of your own, see
[calibration](calibration.md).

Where a table that a simulation reads holds the very point, that is used, and there is no error. The
errors below are those of points that it does not hold: rows of the table, each predicted by a fit
that had not seen it, in percent of the measured figure, without sign. Only the few hyper-parameters
of a kernel, where a fit has one, have seen all rows. Nothing here says how well one software stack
speaks for another: each table has its own, see [below](#tables-and-their-software-stacks).

The *scheme* says which rows are held out together:
"""


def page(fits: Iterable[str] = tuple(FITS)) -> str:
    """Return the page as Markdown; it follows from the tables that come with the package alone.

    Args:
        fits: the fits that it tells of.
    """
    schemes = _grid(["scheme", "held out"], ([f"`{name}`", SCHEMES[name]] for name in SCHEMES))
    return (
        "\n".join(
            [
                HEAD,
                *schemes,
                *_glance(fits),
                *_fits(fits),
                *_engines(),
                *_predictions(),
                *_tables(),
                *_assumptions(),
                *_accelerators(),
            ]
        )
        + "\n"
    )


def draw_figures(directory: Path) -> list[Path]:
    """Draw out-of-fold predictions against measurements, for the tables that most follows from.

    Args:
        directory: where to write a ``validation_TABLE_COLUMN.png`` for each column.

    Returns:
        The paths.
    """
    from lab.hardware_tools.validation import COMPARISON, compare
    from lab.hardware_tools.validation_figure import draw_validation

    paths = []
    for (table, target), predictors in _drawn().items():
        parts = []
        for predict_unseen, group_by in predictors:
            rows = predict_unseen()
            compared = compare(rows, target, rows["predicted"], group_by)
            parts.append(compared.select(COMPARISON))
        title = f"{table}: {target}, each row predicted unseen"
        paths.append(draw_validation(pl.concat(parts), title, directory / _figure(table, target)))
    return paths


Unseen = tuple[Callable[[], pl.DataFrame], tuple[str, ...]]


def _drawn() -> dict[tuple[str, str], list[Unseen]]:
    """Return what predicts rows unseen, and what groups them, by table and column."""
    grouped: dict[tuple[str, str], list[Unseen]] = {}
    for one in PREDICTORS:
        if one.cross_validated is not None and one.table in DRAWN:
            unseen = one.cross_validated, one.group_by
            grouped.setdefault((one.table, one.target), []).append(unseen)
    return grouped


def _figure(table: str, target: str) -> str:
    return f"validation_{table}_{target}.png"


def _glance(names: Iterable[str]) -> Iterator[str]:
    """Yield one row for each fit, part and scheme; where nothing is fitted, for each prediction."""
    yield "## All rows at a glance\n"
    cells = [
        [
            name,
            row["group"].removesuffix("all").strip(),
            row["scheme"],
            *_errors(row["n"], row["median_pct"], row["p90_pct"], row["worst_pct"]),
            goal.verdict(row) if (goal := GOALS.get(name)) else "",
        ]
        for name in names
        for row in load_table(f"fit_{name}_errors").iter_rows(named=True)
        if row["group"].split()[-1] == "all"
    ]
    for one in PREDICTORS:
        if one.table in UNFITTED and one.cross_validated is not None:
            rows = one.cross_validated()
            errors = np.abs(
                100 * (rows["predicted"] / rows[one.target] - 1).drop_nulls().drop_nans().to_numpy()
            )
            figures = np.quantile(errors, (0.5, 0.9, 1.0)).tolist()
            scheme = UNFITTED[one.table]
            cells.append([one.table, one.target, scheme, *_errors(len(errors), *figures), ""])
    heads = ["fit or table", "part", "scheme", "n", "median, %", "p90, %", "worst, %", "goal"]
    yield from _grid(heads, cells)
    yield "Rows that a fit does not trust are left out here; they have lines of their own below.\n"


def _errors(n: int, *percent: float) -> list[str]:
    return [str(n), *(f"{one:.1f}" for one in percent)]


def _fits(names: Iterable[str]) -> Iterator[str]:
    yield "## Fits\n"
    for name in names:
        errors = load_table(f"fit_{name}_errors")
        goal = GOALS.get(name)
        yield f"### {name}\n"
        yield f"Fitted to {_linked(errors)}."
        if goal is not None:
            yield (
                f"Goal, {goal.scheme}: median at most {goal.median_pct:g} %, p90 at most "
                f"{goal.p90_pct:g} %, over all rows; groups are held to it too."
            )
        heads = ["group", "scheme", "n", "median, %", "p90, %", "worst, %", "worst at"]
        yield ""
        yield from _grid(
            [*heads, *(["goal"] if goal else []), "what the rows show"],
            (
                [
                    row["group"],
                    row["scheme"],
                    str(row["n"]),
                    *(f"{row[key]:.1f}" for key in ("median_pct", "p90_pct", "worst_pct")),
                    row["worst_cell"],
                    *([goal.verdict(row)] if goal else []),
                    _said(row["note"]),
                ]
                for row in errors.iter_rows(named=True)
            ),
        )
        yield "Coefficients:\n"
        coefficients: dict[str, list[str]] = {}
        for row in load_table(f"fit_{name}").iter_rows(named=True):
            text = f"{row['coefficient']} = {row['value']:.6g}"
            coefficients.setdefault(row["group"], []).append(text)
        yield from _grid(
            ["group", "coefficients"],
            ([group, ", ".join(texts)] for group, texts in coefficients.items()),
        )


def _said(note: str | None) -> str:
    """Return what a fit says of an error, but for which command wrote it."""
    return "" if note is None or note.startswith("written by") else note


ENGINES = """
A simulation gives each engine one board, and takes its iterations from the fit `llm` above: vLLM on
one A100, carried to other boards. The rows of `llm_iteration` are of another engine, with two to
eight boards, so they speak of a simulation's iterations only from afar. This is how far that model
is from them, without their having a say in it but for three medians:
"""


def _engines() -> Iterator[str]:
    yield "## The simulated engine against another one"
    yield ENGINES
    rows = simulated_engines()
    heads = ["gpu", "boards", "time", "n", "median, %", "p90, %", "median of predicted / measured"]
    cells = []
    for target in ("ttft_ms", "tpot_ms"):
        ratio = rows.with_columns(ratio=pl.col(f"predicted_{target}") / pl.col(target))
        by = ratio.group_by("gpu", "tensor_parallel").agg(
            pl.len(),
            median=100 * (pl.col("ratio") - 1).abs().median(),
            p90=100 * (pl.col("ratio") - 1).abs().quantile(0.9, "linear"),
            bias=pl.col("ratio").median(),
        )
        cells += [
            [gpu, str(boards), target, str(n), f"{median:.0f}", f"{p90:.0f}", f"{bias:.2f}"]
            for gpu, boards, n, median, p90, bias in by.sort("gpu", "tensor_parallel").rows()
        ]
    yield from _grid(heads, cells)


def _predictions() -> Iterator[str]:
    yield "## Predictions that rows can be compared with\n"
    rows = sorted(
        (one.table, one.target, ", ".join(one.group_by), "yes" if one.cross_validated else "no")
        for one in PREDICTORS
    )
    yield from _grid(["table", "column", "errors grouped by", "cross-validated"], rows)
    for table, target in _drawn():
        name = _figure(table, target)
        yield f"![{table}: {target}, predicted and measured](figures/{name})\n"


def _tables() -> Iterator[str]:
    yield "## Tables and their software stacks\n"
    rows = []
    for name in SCHEMAS:
        if name.startswith("fit_"):
            continue
        table = load_table(name)
        stacks = [
            f"{column}: {', '.join(sorted(map(str, table[column].drop_nulls().unique())))}"
            for column in STACK_COLUMNS
            if column in table.columns
        ]
        notes = table["note"].unique()
        stacks += [notes[0]] if len(notes) == 1 and notes[0] is not None else []
        kinds = ", ".join(table["kind"].unique(maintain_order=True))
        rows.append([name, f"{table.height:,}", kinds, "; ".join(stacks), _linked(table)])
    yield from _grid(
        ["table", "rows", "kinds", "stack, and what holds for all rows", "sources"], rows
    )


def _assumptions() -> Iterator[str]:
    yield "## Labelled assumptions\n"
    for name, schema in SCHEMAS.items():
        assumed = load_table(name).filter(pl.col("kind") == "assumption")
        if assumed.is_empty():
            continue
        values = [key for key in assumed.columns if key not in {*schema.key, *PROVENANCE}]
        yield f"### {name}\n"
        yield from _grid(
            [*schema.key, *values, "unit", "note"],
            (
                ["" if one is None else str(one) for one in row]
                for row in assumed.select(*schema.key, *values, "unit", "note").rows()
            ),
        )


def _accelerators() -> Iterator[str]:
    yield "## Accelerators with a file of their own\n"
    rows = [
        (board, name, f"[{one.source}]({one.url})" if one.source else f"assumed: {one.assumption}")
        for board, accelerator in accelerators().items()
        for name, one in accelerator.sections.items()
    ]
    yield from _grid(["board", "section", "source, or why it is assumed"], rows)


def _linked(table: pl.DataFrame) -> str:
    """Name the sources of a table, each with a link to one of its pages."""
    sources = table.group_by("source", maintain_order=True).agg(pl.col("source_url").first())
    links = [
        source if url is None else f"[{source}]({url})"
        for source, url in sources.head(MOST_SOURCES).rows()
    ]
    rest = sources.height - len(links)
    return "; ".join(links) + (f"; {rest} more" if rest else "")


def _grid(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        cells = (" ".join(cell.replace("|", "\\|").split()) for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""
