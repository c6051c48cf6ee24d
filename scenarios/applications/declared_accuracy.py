"""Computes the mean accuracy of an application that a file declares, and its spread over items."""

import inspect
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from scenarios.applications import item_accuracy
from scenarios.applications.accuracy_rules import RULES
from scenarios.applications.item_accuracy import Curve
from scenarios.applications.nodes import REFERENCE, keyed, mapping, pick_key, refusal
from scenarios.applications.quantities import Point, Quantities
from scenarios.numerics import Floats

ITEM_KEYS = ("spreads", "rank_correlation")
"""Optional keys on single items; the parameters of a rule have other names."""

MEAN_TOLERANCE = 1e-6
"""Largest allowed difference between the mean of declared quantiles and the declared mean accuracy.
"""


class Accuracy(NamedTuple):
    """The accuracy of an application on a data set."""

    mean: Floats  # mean accuracy, shape (configurations, strata)
    curve: Curve  # inverse CDF of the accuracy of single items
    rank_correlation: float  # rank correlation of items between two configurations


def declared_accuracy(node: object, path: str, point: Point, quantities: Quantities) -> Accuracy:
    """Return the accuracy that an application declares.

    Args:
        node: the declaration: ``rule``, that rule's parameters, ``spread``, ``spreads`` and
            ``rank_correlation``.
        path: key of the declaration, for error messages.
        point: the data set and its strata.
        quantities: looks up the declared quantities.
    """
    name = node.get("rule") if isinstance(node, Mapping) else None
    if isinstance(node, Mapping):
        pick_key(f"{path}.rule", name, RULES, "rule")
    rule = RULES.get(str(name), RULES["product"])
    parameters = inspect.signature(rule).parameters
    needed = [key for key, one in parameters.items() if one.default is one.empty]
    optional = [key for key in parameters if key not in needed]
    given = keyed(node, path, ("rule", "spread", *needed), [*optional, *ITEM_KEYS])
    arrays = {
        key: quantities.numbers(given[key], f"{path}.{key}", point, low=-np.inf)
        for key in parameters
        if given.get(key) is not None
    }
    try:
        result = rule(**arrays)
    except ValueError as error:
        raise refusal(f"{path}.rule", name, f"on {point.dataset}, {error}") from None
    mean = np.array(np.broadcast_to(result, (quantities.count, len(point.strata))))
    if not (mean <= 1).all():
        where = [quantities.culprit(given[key], -np.inf, 1.0) for key in arrays]
        reason = f"on {point.dataset}, accuracy is {mean.max():g}; must be 1 or less"
        reason += next(filter(None, where), "")
        raise refusal(f"{path}.rule", name, reason)
    ranks = quantities.numbers(
        given.get("rank_correlation", 1.0),
        f"{path}.rank_correlation",
        Point(point.dataset),
        knobs=(),
        high=1.0,
    )
    spread, spread_path = _named_spread(given, path)
    return Accuracy(mean, _curve(spread, spread_path, mean, point, quantities), float(ranks[0, 0]))


def _named_spread(given: Mapping[str, object], path: str) -> tuple[object, str]:
    """Return the declared spread, which can be named, and its key."""
    spread = given["spread"]
    if given.get("spreads") is not None:
        named = mapping(given["spreads"], f"{path}.spreads", "spreads")
        if isinstance(spread, str) and spread in named:
            return named[spread], f"{path}.spreads.{spread}"
        if isinstance(spread, str) and spread != "success" and not REFERENCE.fullmatch(spread):
            pick_key(f"{path}.spread", spread, [*named, "success"], "spread")
    return spread, f"{path}.spread"


def _curve(node: object, path: str, mean: Floats, point: Point, quantities: Quantities) -> Curve:
    if isinstance(node, str) and node != "success" and not REFERENCE.fullmatch(node):
        raise refusal(
            path,
            node,
            "must be success, a quantity (standard deviation over items), or a mapping with "
            "probabilities and quantiles",
        )
    if isinstance(node, Mapping):
        return _through(node, path, mean, point, quantities)
    try:
        if node == "success":
            return item_accuracy.success(mean)
        sd = quantities.numbers(node, path, point)
        return item_accuracy.beta(mean, sd)
    except item_accuracy.SpreadError as error:
        raise refusal(path, node, f"on {point.dataset}, {error}") from None


def _through(
    node: Mapping[str, object], path: str, mean: Floats, point: Point, quantities: Quantities
) -> Curve:
    given = keyed(node, path, ("probabilities", "quantiles"))
    lists = [given["probabilities"], given["quantiles"]]
    if (
        not all(isinstance(one, list | tuple) and one for one in lists)
        or len({len(one) for one in lists}) != 1
    ):
        raise refusal(path, "{probabilities, quantiles}", "must be two lists of equal length")
    points = [
        np.stack(
            [
                quantities.numbers(one, f"{path}.{key}[{i}]", point, low=low, high=1.0)
                for i, one in enumerate(given[key])
            ],
            axis=-1,
        )
        for key, low in (("probabilities", 0.0), ("quantiles", -np.inf))
    ]
    try:
        curve = item_accuracy.through(*points)
    except item_accuracy.SpreadError as error:
        raise ValueError(f"{path}: on {point.dataset}, {error}") from None
    under = item_accuracy.mean_of(curve)
    apart = np.abs(under - mean)
    if apart.max() > MEAN_TOLERANCE:
        at = np.unravel_index(apart.argmax(), apart.shape)
        raise ValueError(
            f"{path}: on {point.dataset}, the mean under the quantiles is {under[at]:g} where the "
            f"mean accuracy is {mean[at]:g}; they must agree"
        )
    return curve
