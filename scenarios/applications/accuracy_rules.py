"""Rules, each with a name, that compute an application's accuracy from measurements of its parts.

A rule is a pure function of arrays that broadcast to the shape (configurations, strata). A
declaration gives the rule's parameters under ``accuracy``, each as a number, a column of a table,
or a product of these.
"""

from collections.abc import Callable, Mapping

import numpy as np

from scenarios.numerics import Floats


def product(factors: Floats) -> Floats:
    """Return the product of a base accuracy and of the ratios by which knobs reduce it.

    The ratio of each knob was measured alone. It is assumed not to depend on the other knobs.

    Args:
        factors: the product of the base accuracy and all ratios.
    """
    return factors


def best_of(one: Floats, attempts: Floats, concentration: Floats) -> Floats:
    """Return the probability that at least one of several attempts succeeds.

    A problem's chance of success is drawn from a Beta distribution. Its mean is the probability p
    that one attempt succeeds, and its two parameters sum to the concentration c. Attempts at the
    same problem are independent. With a = c p and b = c (1 - p),
    pass@k = 1 - E[(1 - chance)^k] = 1 - B(a, b + k) / B(a, b).
    The rule makes two assumptions. A test recognises a successful attempt, as in the pass@k of Chen
    et al. 2021 (https://arxiv.org/abs/2107.03374), and chances follow a Beta distribution. With a
    small c, each problem is either always or never solved, and attempts do not help. With a large
    c, all problems are alike, and pass@k = 1 - (1 - p)^k.

    Args:
        one: probability p that one attempt succeeds, from 0 to 1.
        attempts: number k of attempts, at least 0; it need not be an integer.
        concentration: the concentration c, above 0; infinity is allowed.

    Raises:
        ValueError: a value is out of range.
    """
    from scipy.special import betaln  # noqa: PLC0415 -- only what uses it waits for SciPy

    p, k, c = np.broadcast_arrays(
        np.asarray(one, float), np.asarray(attempts, float), np.asarray(concentration, float)
    )
    for name, values, fine, allowed in (
        ("one", p, (p >= 0) & (p <= 1), "between 0 and 1"),
        ("attempts", k, (k >= 0) & np.isfinite(k), "0 or more"),
        ("concentration", c, c > 0, "above 0"),
    ):
        if not fine.all():
            raise ValueError(f"best_of: {name}={values[~fine].flat[0]:g} must be {allowed}")
    alike = ~np.isfinite(c)
    open_question = (p > 0) & (p < 1) & (k > 0) & ~alike
    least = np.finfo(float).tiny  # Below it, the Beta function of SciPy overflows.
    a = np.maximum(np.where(open_question, c * p, 1.0), least)
    b = np.maximum(np.where(open_question, c * (1 - p), 1.0), least)
    mixed = -np.expm1(betaln(a, b + np.where(open_question, k, 1.0)) - betaln(a, b))
    sure = np.where(k > 0, p, 0.0)
    passed = np.where(open_question, mixed, np.where(alike, 1 - (1 - p) ** k, sure))
    return np.asarray(np.clip(passed, 0.0, 1.0))


RULES: Mapping[str, Callable[..., Floats]] = {"product": product, "best_of": best_of}
"""All rules, by the name that declarations use."""
