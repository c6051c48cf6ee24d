"""What the atlas says: how often each planner is best, and a decision tree in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from lab.atlas.axes import AXES, CATEGORIES, ORDERED, Ordered
from lab.atlas.race import METRICS, Raced, race
from lab.atlas.runs import FIRST_SEED, Plan
from lab.atlas.verdicts import Outcome

DEPTH = 3
HELD_OUT = 0.25
"""Share of the decided cells on which the tree is tested; they are not used to fit it."""

LEAST_CELLS = 10
"""Smallest number of cells of a leaf."""


def verdicts(runs: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Return a row per cell: its axes, and for each metric its verdict, best planners and margin.

    The columns ``METRIC_verdict`` have a planner's name, ``tie`` or ``undecided``, and
    ``METRIC_best`` the planners that it names, joined by commas. The race is repeated on the stored
    runs, so the verdicts follow from the table alone. ``seeds`` is the number of seeds at the end.
    """
    rows = []
    for _, part in runs.group_by("cell", maintain_order=True):
        raced = _again(part, plan)
        first = part.row(0, named=True)
        row = {"cell": first["cell"], **{axis.name: first[axis.name] for axis in AXES}}
        for metric in METRICS:
            verdict = raced.verdicts[metric]
            row[f"{metric}_verdict"] = verdict.label
            row[f"{metric}_best"] = ",".join(sorted(verdict.best))
        mean = part.filter(pl.col("seed") < FIRST_SEED + 3)
        mean = mean.group_by("planner").agg(pl.col("goodput", "active").mean())
        row["seeds"] = raced.seeds
        row["served"] = max((mean["goodput"] / mean["active"]).fill_nan(0.0).to_list())
        rows.append(row)
    return pl.DataFrame(rows)


def _again(part: pl.DataFrame, plan: Plan) -> Raced:
    stored = {(row["planner"], row["seed"]): row for row in part.iter_rows(named=True)}
    return race(
        plan.planners,
        lambda planner, seeds: [stored[planner, FIRST_SEED + seed] for seed in seeds],
        plan.looks,
    )


def shares(found: pl.DataFrame, planners: Sequence[str], metric: str) -> pl.DataFrame:
    """Return how many cells each planner wins, ties in, or may be the best of, as shares of all."""
    best, verdict = pl.col(f"{metric}_best"), pl.col(f"{metric}_verdict")
    named = {name: best.str.split(",").list.contains(name) for name in planners}
    return pl.DataFrame(
        [
            {
                "planner": name,
                "wins": found.select((verdict == name).mean()).item(),
                "ties": found.select((named[name] & (verdict == Outcome.TIE)).mean()).item(),
                "undecided": found.select(
                    (named[name] & (verdict == Outcome.UNDECIDED)).mean()
                ).item(),
            }
            for name in planners
        ]
    )


def best_share(found: pl.DataFrame, planner: str, metric: str) -> tuple[float, float, float]:
    """Return the share of cells that a planner wins or ties in, with its 95 % interval.

    Only decided cells count in which some planner serves queries. Cells of the design are more
    even than independent ones, so the interval is rather too wide.

    The interval is that of Clopper and Pearson (1934), "The use of confidence or fiducial limits
    illustrated in the case of the binomial".
    """
    open_ = [Outcome.UNDECIDED, Outcome.NOBODY]
    decided = found.filter(~pl.col(f"{metric}_verdict").is_in(open_))
    if decided.is_empty():
        return 0.0, 0.0, 1.0
    named = decided[f"{metric}_best"].str.split(",").list.contains(planner)
    test = binomtest(int(named.sum()), len(decided)).proportion_ci()
    return float(named.sum() / len(decided)), float(test.low), float(test.high)


@dataclass(frozen=True)
class Leaf:
    """One leaf of a decision tree: its conditions, its advice and how many cells agree."""

    conditions: tuple[str, ...]
    advice: str
    cells: int
    agreeing: int  # cells of the leaf with this verdict, among those that the tree was fitted to


@dataclass(frozen=True)
class Tree:
    """A decision tree in words, with its accuracy on held-out cells and that of one answer."""

    leaves: tuple[Leaf, ...]
    accuracy: float
    always: str  # the most frequent verdict of the fitted cells
    always_accuracy: float  # its accuracy on the held-out cells
    tested: int  # number of held-out cells


def tree(found: pl.DataFrame, metric: str, seed: int = 0) -> Tree | None:
    """Fit a tree of `DEPTH` to the decided cells, apart from those that are held out.

    Returns None if there are too few cells for two leaves and a test.
    """
    from sklearn.tree import DecisionTreeClassifier

    decided = found.filter(pl.col(f"{metric}_verdict") != Outcome.UNDECIDED).sort("cell")
    if len(decided) < 4 * LEAST_CELLS:
        return None
    truth = decided[f"{metric}_verdict"].to_numpy()
    features, names = _features(decided)
    held = np.random.default_rng(seed).random(len(decided)) < HELD_OUT
    model = DecisionTreeClassifier(
        max_depth=DEPTH, min_samples_leaf=LEAST_CELLS, random_state=seed
    ).fit(features[~held], truth[~held])
    labels, counts = np.unique(truth[~held], return_counts=True)
    always = str(labels[counts.argmax()])
    return Tree(
        tuple(_leaves(model, names)),
        float((model.predict(features[held]) == truth[held]).mean()),
        always,
        float((truth[held] == always).mean()),
        int(held.sum()),
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
    model: Any, names: Sequence[tuple[Any, str]], node: int = 0, path: tuple[str, ...] = ()
) -> Iterator[Leaf]:
    fitted = model.tree_
    left, right = fitted.children_left[node], fitted.children_right[node]
    if left == right:
        shares_, count = fitted.value[node][0], int(fitted.n_node_samples[node])
        best = int(shares_.argmax())
        agreeing = round(float(shares_[best] / shares_.sum()) * count)
        yield Leaf(path, str(model.classes_[best]), count, agreeing)
        return
    axis, value = names[fitted.feature[node]]
    if isinstance(axis, Ordered):
        limit = axis.shown(float(np.exp(fitted.threshold[node])))
        below, above = f"{axis.words} is at most {limit}", f"{axis.words} is above {limit}"
    else:
        below, above = f"{axis.words} is not {value}", f"{axis.words} is {value}"
    yield from _leaves(model, names, left, (*path, below))
    yield from _leaves(model, names, right, (*path, above))


def words_of(leaf: Leaf) -> str:
    """Return a leaf as a sentence."""
    where = " and ".join(leaf.conditions) or "nothing else is known"
    share = leaf.agreeing / leaf.cells
    return f"Where {where}: {leaf.advice} ({share:.0%} of {leaf.cells} cells)."
