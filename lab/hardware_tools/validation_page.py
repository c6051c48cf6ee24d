"""The page on the accuracy of the hardware models, from the data files of the fits."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hardware_models.fits.registry import FITS
from hardware_models.predictors import PREDICTORS, Predictor, simulated_engines
from hardware_models.schemas import PROVENANCE, SCHEMAS
from hardware_models.tables import accelerators, load_table
from lab.hardware_tools.link_validation import directions, link_rows
from lab.hardware_tools.unpredicted import NOTHING_TO_PREDICT
from lab.hardware_tools.validation import PERCENTS
from lab.hardware_tools.world_parameters import SMOOTH, STRAIGHT, parameters
from lab.reporting.render import render

MOST_SOURCES = 4
DRAWN = ("gpu_latency", "llm_iteration", "llm_speed", "device_latency")
STACK_COLUMNS = ("engine", "backend", "precision")

Row = list[Any]


@dataclass(frozen=True)
class AccuracyGoal:
    """The intended accuracy of a fit."""

    scheme: str  # scheme of holding out rows to which the goal applies
    median_pct: float  # largest allowed median of the absolute error
    p90_pct: float  # largest allowed 90th percentile of the absolute error

    def verdict(self, row: Mapping[str, object]) -> str:
        """Return in words whether a row of errors meets the goal; empty for another scheme."""
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
"""The accuracy goals, for those fits that have a goal."""

UNFITTED = {
    ("accelerator_relative_speed", ""): "row-out",
    ("device_latency", "on CPUs"): "10-fold",
    ("device_latency", "on GPUs by Vulkan"): "10-fold",
    ("mig_mlperf_ratios", "busy neighbours"): "row-out",
    ("mig_mlperf_ratios", "one slice over a whole board"): "not fitted",
    ("mps_interference", "pairs of models"): "not fitted",
}
"""Schemes of the parts of tables whose errors are not in the file of a fit."""

SCHEMES = {
    "random 5-fold": "a random fifth of all rows at a time: how a point is predicted that a grid "
    "lacks",
    "curve out": "for each model one pair of slices and processes at a time, at every batch",
    "batch out": "for each model one batch size at a time, the smallest and the largest included",
    "row-out": "one row at a time",
    "traces held out": "half of the recordings of each technology, chosen before the fit",
    "10-fold": "every tenth row",
    "not fitted": "all rows: nothing was fitted to them",
    "5-fold by cell": "a fifth of the cells at a time, whole, a cell being a model's prompt and "
    "batch over so many boards",
    "5-fold by curve": "a fifth of the curves at a time, whole",
    "5-fold by model": "a fifth of the models at a time, whole",
    "5-fold by model and size": "a fifth of the pairs of model and input size at a time",
}
"""The schemes of holding out rows, and the rows that each scheme holds out."""


def page(fits: Iterable[str] = tuple(FITS)) -> str:
    """Return the page about the given fits as Markdown; it depends only on the package's tables."""
    fits = list(fits)
    return render(
        "validation.md.jinja",
        schemes=[(f"`{name}`", text) for name, text in SCHEMES.items()],
        glance=[*_at_a_glance(fits), *_unfitted()],
        fits=list(map(_fit, fits)),
        engines=[row for target in ("ttft_ms", "tpot_ms") for row in _engines(target)],
        links=list(link_rows()),
        directions=list(directions()),
        parameters=[(f"`{one.key}`", *astuple(one)[1:]) for one in parameters()],
        smooth=" ".join([*chain.from_iterable(SMOOTH.values()), STRAIGHT]),
        predictions=sorted(
            (one.table, _part(one), ", ".join(one.group_by), "yes" if one.cross_validated else "no")
            for one in PREDICTORS
        ),
        unpredicted=list(NOTHING_TO_PREDICT.items()),
        figures=[(f"{table}: {target}", _figure(table, target)) for table, target in _drawn()],
        tables=[_table(name) for name in SCHEMAS if not name.startswith("fit_")],
        assumptions=list(_assumptions()),
        accelerators=list(_accelerators()),
    )


def draw_figures(directory: Path) -> list[Path]:
    """Draw held-out predictions against measurements, as ``validation_TABLE_COLUMN.png``."""
    from lab.hardware_tools.validation import COMPARISON, compare
    from lab.hardware_tools.validation_figure import draw_validation

    paths = []
    for (table, target), predictors in _drawn().items():
        parts = []
        for predict_unseen, group_by in predictors:
            rows = predict_unseen()
            compared = compare(rows, target, rows["predicted"], group_by)
            parts.append(compared.select(COMPARISON))
        title = f"{table}: {target}, each row held out"
        paths.append(draw_validation(pl.concat(parts), title, directory / _figure(table, target)))
    return paths


Unseen = tuple[Callable[[], pl.DataFrame], tuple[str, ...]]


def _drawn() -> dict[tuple[str, str], list[Unseen]]:
    """Return functions that predict held-out rows, with grouping columns, by table and target."""
    grouped: dict[tuple[str, str], list[Unseen]] = {}
    for one in PREDICTORS:
        if one.cross_validated is not None and one.table in DRAWN:
            unseen = one.cross_validated, one.group_by
            grouped.setdefault((one.table, one.target), []).append(unseen)
    return grouped


def _figure(table: str, target: str) -> str:
    return f"validation_{table}_{target}.png"


def _at_a_glance(names: Iterable[str]) -> Iterator[Row]:
    """Yield a row of errors for each fit, part of a fit, and scheme of holding out rows."""
    for name in names:
        for row in load_table(f"fit_{name}_errors").iter_rows(named=True):
            if row["group"].split()[-1] == "all":
                part, goal = row["group"].removesuffix("all").strip(), GOALS.get(name)
                yield [name, part, row["scheme"], *_errors(row), goal.verdict(row) if goal else ""]


def _unfitted() -> Iterator[Row]:
    """Yield a row of errors for each part of a table in `UNFITTED`."""
    for one in PREDICTORS:
        scheme = UNFITTED.get((one.table, one.part))
        if scheme is not None and one.cross_validated is not None:
            rows = one.cross_validated()
            ratio = (rows["predicted"] / rows[one.target]).drop_nulls().drop_nans().to_numpy()
            errors = np.abs(100 * (ratio - 1))
            percents = dict(zip(PERCENTS, np.quantile(errors, (0.5, 0.9, 1.0)), strict=True))
            yield [one.table, _part(one), scheme, *_errors({"n": len(errors), **percents}), ""]


def _part(one: Predictor) -> str:
    return ", ".join(filter(None, (one.target, one.part)))


def _errors(row: Mapping[str, Any]) -> Row:
    return [row["n"], *(f"{row[name]:.1f}" for name in PERCENTS)]


def _fit(name: str) -> dict[str, Any]:
    errors, goal = load_table(f"fit_{name}_errors"), GOALS.get(name)
    coefficients: dict[str, list[str]] = {}
    for row in load_table(f"fit_{name}").iter_rows(named=True):
        text = f"{row['coefficient']} = {row['value']:.6g}"
        coefficients.setdefault(row["group"], []).append(text)
    rows = []
    for row in errors.iter_rows(named=True):
        # Notes on the command that wrote the row are left out.
        note = "" if (row["note"] or "").startswith("written by") else row["note"] or ""
        verdict = [goal.verdict(row)] if goal else []
        rows.append([row["group"], row["scheme"], *_errors(row), row["worst_cell"], *verdict, note])
    return {
        "name": name,
        "sources": _linked(errors),
        "goal": goal,
        "errors": rows,
        "coefficients": [(group, ", ".join(texts)) for group, texts in coefficients.items()],
    }


def _engines(target: str) -> Iterator[Row]:
    """Yield the errors of simulated engines against measured ones, by board and board count."""
    ratio = pl.col(f"predicted_{target}") / pl.col(target)
    by = (
        simulated_engines()
        .group_by("gpu", "tensor_parallel")
        .agg(
            pl.len(),
            (100 * (ratio - 1).abs().median()).alias("median"),
            (100 * (ratio - 1).abs().quantile(0.9, "linear")).alias("p90"),
            ratio.median().alias("bias"),
        )
    )
    for gpu, boards, n, median, p90, bias in by.sort("gpu", "tensor_parallel").rows():
        yield [gpu, boards, target, n, f"{median:.0f}", f"{p90:.0f}", f"{bias:.2f}"]


def _table(name: str) -> Row:
    table = load_table(name)
    stacks = [
        f"{column}: {', '.join(sorted(map(str, table[column].drop_nulls().unique())))}"
        for column in STACK_COLUMNS
        if column in table.columns
    ]
    notes = table["note"].unique()
    stacks += [notes[0]] if len(notes) == 1 and notes[0] is not None else []
    kinds = ", ".join(table["kind"].unique(maintain_order=True))
    return [name, f"{table.height:,}", kinds, "; ".join(stacks), _linked(table)]


def _assumptions() -> Iterator[tuple[str, list[str], list[Row]]]:
    """Yield each table that has rows labelled as assumptions, with these rows."""
    for name, schema in SCHEMAS.items():
        assumed = load_table(name).filter(pl.col("kind") == "assumption")
        if assumed.height:
            values = [key for key in assumed.columns if key not in {*schema.key, *PROVENANCE}]
            heads = [*schema.key, *values, "unit", "note"]
            rows = assumed.select(heads).rows()
            yield name, heads, [["" if one is None else one for one in row] for row in rows]


def _accelerators() -> Iterator[Row]:
    """Yield the source of each section of an accelerator's file."""
    for board, accelerator in accelerators().items():
        for name, one in accelerator.sections.items():
            source = f"[{one.source}]({one.url})" if one.source else f"assumed: {one.assumption}"
            yield [board, name, source]


def _linked(table: pl.DataFrame) -> str:
    """Return the sources of a table, each with a link to one of its pages."""
    sources = table.group_by("source", maintain_order=True).agg(pl.col("source_url").first())
    links = [
        source if url is None else f"[{source}]({url})"
        for source, url in sources.head(MOST_SOURCES).rows()
    ]
    rest = sources.height - len(links)
    return "; ".join(links) + (f"; {rest} more" if rest else "")
