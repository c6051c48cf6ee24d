"""What the atlas says: how often each planner is best, and a decision tree in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from lab.atlas.axes import AXES, CATEGORIES, ORDERED, Ordered
from lab.atlas.race import ACTIVE, GOODPUT
from lab.atlas.runs import Plan, again
from lab.atlas.verdicts import Outcome
from scenarios.numerics import Ints

DEPTH = 3
HELD_OUT = 0.25
"""Share of the tree's cells on which it is tested; they are not used to fit it."""

LEAST_CELLS = 10
"""Smallest number of cells of a leaf."""


def verdicts(runs: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Return a row per cell: its axes, and for each metric its verdict, best planners and lead.

    The columns ``METRIC_verdict`` have a planner's name or another `Outcome`, ``METRIC_best`` the
    planners that are best, tie, or may be the best, joined by commas, and ``METRIC_lead`` the share
    by which the highest mean of the last look is above the second. The race is repeated on the
    stored runs, so the verdicts follow from the table alone. ``seeds`` is the number of seeds at
    the end, and ``served`` the share of time that the best planner serves on the seeds of the first
    look; as the largest of several means, it is a little too high.
    """
    rows = []
    for _, part in runs.group_by("cell", maintain_order=True):
        raced = again(part.to_dicts(), plan)
        first = part.row(0, named=True)
        row = {"cell": first["cell"], **{axis.name: first[axis.name] for axis in AXES}}
        last = part.filter(pl.col("seed") == pl.col("seed").max())["planner"].to_list()
        for metric, verdict in raced.verdicts.items():
            row[f"{metric}_verdict"] = verdict.label
            row[f"{metric}_best"] = ",".join(sorted(verdict.best))
            row[f"{metric}_lead"] = _lead(part.filter(pl.col("planner").is_in(last)), metric)
        few = part.filter(pl.col("seed") < plan.seed(first["cell"], plan.looks.seeds[0]))
        mean = few.group_by("planner").agg(pl.col(GOODPUT, ACTIVE).mean())
        row["seeds"] = raced.seeds
        row["served"] = max((mean[GOODPUT] / mean[ACTIVE]).fill_nan(0.0).to_list())
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def _lead(runs: pl.DataFrame, metric: str) -> float | None:
    means = runs.group_by("planner").agg(pl.col(metric).mean())[metric].sort(descending=True)
    return None if len(means) < 2 or not means[1] else float(means[0] / means[1] - 1)


def share(found: pl.DataFrame, metric: str, outcome: Outcome) -> float:
    """Return the share of cells with an outcome other than a winner."""
    return float(found.select((pl.col(f"{metric}_verdict") == outcome).mean()).item())


def shares(found: pl.DataFrame, planners: Sequence[str], metric: str) -> pl.DataFrame:
    """Return the shares of cells that each planner wins, ties in, or may be the best of."""
    best, verdict = found[f"{metric}_best"].str.split(","), found[f"{metric}_verdict"]
    return pl.DataFrame(
        [
            {
                "planner": name,
                "wins": (verdict == name).mean(),
                "ties": (best.list.contains(name) & (verdict == Outcome.TIE)).mean(),
                "undecided": (best.list.contains(name) & (verdict == Outcome.UNDECIDED)).mean(),
            }
            for name in planners
        ]
    )


def with_a_best(found: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Return the decided cells in which some planner serves a useful part of the time."""
    return found.filter(~pl.col(f"{metric}_verdict").is_in([Outcome.UNDECIDED, Outcome.NOBODY]))


def best_share(found: pl.DataFrame, planner: str, metric: str) -> tuple[float, float, float]:
    """Return the share of cells `with_a_best` in which a planner wins or ties, and its bounds."""
    decided = with_a_best(found, metric)
    if decided.is_empty():
        return 0.0, 0.0, 1.0
    named = decided[f"{metric}_best"].str.split(",").list.contains(planner)
    return share_of(int(named.sum()), len(decided))


def share_of(count: int, cells: int) -> tuple[float, float, float]:
    """Return the share of some cells, of which there is at least one, and its bounds.

    The bounds are those of the 95 % interval of Clopper and Pearson (1934), "The use of confidence
    or fiducial limits illustrated in the case of the binomial". Cells of the design are more even
    than independent ones, so the interval is rather too wide.
    """
    bounds = binomtest(count, cells).proportion_ci()
    return count / cells, float(bounds.low), float(bounds.high)


@dataclass(frozen=True)
class Leaf:
    """One leaf of a decision tree: its conditions, its advice and how many cells agree."""

    conditions: tuple[str, ...]
    advice: str  # a planner
    cells: int
    agreeing: int  # cells of the leaf in which the advice is the best planner or ties with it


@dataclass(frozen=True)
class Tree:
    """A decision tree in words, with its accuracy on held-out cells and that of one answer."""

    leaves: tuple[Leaf, ...]
    accuracy: float  # share of held-out cells in which the advice is the best planner or ties
    always: str  # the best single advice for the fitted cells
    always_accuracy: float  # its accuracy on the held-out cells
    tested: int  # number of held-out cells


def tree(found: pl.DataFrame, metric: str) -> Tree | None:
    """Fit a tree of `DEPTH` to the cells `with_a_best`, apart from those that are held out.

    A cell with k tied planners counts as 1 / k of a cell for each. Returns None if there are too
    few cells for two leaves and a test.
    """
    from sklearn.model_selection import train_test_split
    from sklearn.tree import DecisionTreeClassifier

    decided = with_a_best(found, metric).sort("cell")
    if len(decided) < 4 * LEAST_CELLS:
        return None
    best = [names.split(",") for names in decided[f"{metric}_best"]]
    features, names = _features(decided)
    fit, held = train_test_split(np.arange(len(decided)), test_size=HELD_OUT, random_state=0)
    rows = [(cell, name, 1 / len(best[cell])) for cell in fit for name in best[cell]]
    cells, labels, weights = map(np.array, zip(*rows, strict=True))
    model = DecisionTreeClassifier(
        max_depth=DEPTH, min_weight_fraction_leaf=LEAST_CELLS / len(fit), random_state=0
    ).fit(features[cells], labels, weights)

    def right(advice: Sequence[str], of: Sequence[int]) -> float:
        return float(np.mean([name in best[cell] for name, cell in zip(advice, of, strict=True)]))

    always = max(sorted(set(labels)), key=lambda name: right([name] * len(fit), fit))
    return Tree(
        tuple(_leaves(model, names, [best[cell] for cell in fit], model.apply(features[fit]))),
        right(model.predict(features[held]), held),
        str(always),
        right([always] * len(held), held),
        len(held),
    )


def _features(found: pl.DataFrame) -> tuple[Any, list[tuple[Any, str]]]:
    """Return columns for a tree, of shape (n, F), and the axis and category of each column."""
    columns = [np.log(found[axis.name].to_numpy()) for axis in ORDERED]
    names: list[tuple[Any, str]] = [(axis, "") for axis in ORDERED]
    for axis in CATEGORIES:
        for value in axis.values:
            columns.append((found[axis.name] == value).to_numpy().astype(float))
            names.append((axis, value))
    return np.column_stack(columns), names


def _leaves(
    model: Any,
    names: Sequence[tuple[Any, str]],
    best: Sequence[Sequence[str]],
    leaf_of: Ints,
    node: int = 0,
    path: tuple[str, ...] = (),
) -> Iterator[Leaf]:
    """Yield the leaves below a node; two leaves of one node with the same advice are merged."""
    fitted = model.tree_
    left, right = fitted.children_left[node], fitted.children_right[node]
    if left == right:
        advice = str(model.classes_[int(fitted.value[node][0].argmax())])
        here = [best[cell] for cell in np.flatnonzero(leaf_of == node).tolist()]
        yield Leaf(path, advice, len(here), sum(advice in each for each in here))
        return
    axis, value = names[fitted.feature[node]]
    if isinstance(axis, Ordered):
        limit = axis.shown(float(np.exp(fitted.threshold[node])))
        below, above = f"{axis.words} is at most {limit}", f"{axis.words} is above {limit}"
    else:
        below, above = f"{axis.words} is not {value}", f"{axis.words} is {value}"
    leaves = [
        *_leaves(model, names, best, leaf_of, left, (*path, below)),
        *_leaves(model, names, best, leaf_of, right, (*path, above)),
    ]
    if len(leaves) == 2 and leaves[0].advice == leaves[1].advice:
        cells = sum(each.cells for each in leaves)
        leaves = [Leaf(path, leaves[0].advice, cells, sum(each.agreeing for each in leaves))]
    yield from leaves


def words_of(leaf: Leaf) -> str:
    """Return a leaf as a sentence."""
    where = f"Where {' and '.join(leaf.conditions)}" if leaf.conditions else "Everywhere"
    return f"{where}: {leaf.advice} ({leaf.agreeing / leaf.cells:.0%} of {leaf.cells} cells)."
