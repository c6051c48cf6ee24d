"""What is varied by default, what it changes, and how sure that is."""

import numpy as np
import pytest

from lab.common.metrics import SHARE
from lab.config.compose import compose
from lab.what_if.sensitivity import (
    Effect,
    adjusted,
    answers,
    assumptions,
    conclusion,
    effect,
    largest_first,
)


def test_assumptions_are_those_that_the_configuration_has() -> None:
    config = compose(["experiment=speech_small", "planner=compass"])
    found = {each.key: each.values for each in assumptions(config)}
    assert found["workload.rate"] == ("0.08", "0.125")
    assert found["cluster.profiling.workers"] == ("2", "8")
    assert found["planner.budget_s"] == ("2.5", "10")
    whole = ["planner.budget_s=5", "application.requests_per_s=1", "cluster.profiling.count=3"]
    written = {each.key: each.values for each in assumptions(compose(["planner=compass", *whole]))}
    assert written["planner.budget_s"] == ("2.5", "10")
    assert written["application.requests_per_s"] == ("0.8", "1.25")
    assert written["cluster.profiling.count"] == ("2", "6")
    without = compose(["experiment=speech_small", "planner=static_plan"])
    assert "planner.budget_s" not in {each.key for each in assumptions(without)}


def test_values_are_written_as_their_base_is() -> None:
    rows = answers([{"seed": seed, "x": 1.0} for seed in range(3)], None, "x")
    large = effect("network.backhaul_bps", "500000000.0", 1e9, rows, rows)
    assert (large.base, large.value) == ("1e+09", "5e+08")
    none = effect("planner.budget_s", "null", 5.0, rows, rows)
    assert (none.base, none.value) == ("5", "null")


def test_effects_are_paired_and_the_largest_come_first() -> None:
    base = [{"seed": seed, "x": 10.0 * seed} for seed in range(4)]
    up = [{"seed": seed, "x": 10.0 * seed + 2} for seed in range(4)]
    down = [{"seed": seed, "x": 10.0 * seed - 5 + seed / 10} for seed in range(4)]
    known = answers(base, None, "x")
    small = effect("a", "2", 1, known, answers(up, None, "x"))
    large = effect("b", "0", 1, known, answers(down, None, "x"))
    assert small.difference == pytest.approx((2, 2, 2))
    assert (small.p, small.sure) == (0.125, False)  # Equal changes of few seeds are no proof.
    more = [{"seed": seed, "answer": 1.0 * seed} for seed in range(6)]
    shifted = [{"seed": seed, "answer": seed + 2.0} for seed in range(6)]
    assert effect("a", "2", 1, more, shifted).sure
    assert large.difference[0] == pytest.approx(-4.85)
    assert [each.key for each in largest_first([small, large])] == ["b", "a"]
    assert [row["answer"] for row in answers(up, base, "x")] == pytest.approx([2, 2, 2, 2])


def test_effects_on_shares_are_shown_where_they_can_lie() -> None:
    base, other = (
        [{"seed": at, "answer": x} for at, x in enumerate(xs)] for xs in ([0, 1], [1, 0.9])
    )
    whole, share = effect("a", "2", 1, base, other), effect("a", "2", 1, base, other, SHARE)
    assert whole.difference[2] is not None
    assert whole.difference[2] > 1
    assert share.difference == (whole.difference[0], -1, 1)
    assert share.p == whole.p


def test_settings_without_effect_are_hardly_ever_significant() -> None:
    rng = np.random.default_rng(5)

    def some_sure(shift: float) -> tuple[bool, bool]:
        base = [{"seed": seed, "answer": 0.0} for seed in range(6)]
        effects = []
        for at in range(16):
            values = rng.normal(size=6) + shift * (at == 0)
            rows = [{"seed": seed, "answer": value} for seed, value in enumerate(values)]
            effects.append(effect("a", f"{at}", 1, base, rows))
        return any(each.sure for each in effects), any(each.sure for each in adjusted(effects))

    alone, together = np.mean([some_sure(0.0) for _ in range(300)], axis=0)
    assert alone > 0.45  # 1 - 0.95 ** 16
    assert together < 0.09
    assert some_sure(20.0)[1]


def test_a_single_assumption_is_not_called_the_most_important() -> None:
    base = [{"seed": seed, "answer": 0.0} for seed in range(4)]

    def one(key: str, *values: float) -> list[Effect]:
        rows = [{"seed": seed, "answer": value} for seed, value in enumerate(values)]
        return [effect(key, "2", 1, base, rows), effect(key, "0", 1, base, base)]

    clear, unclear = one("a", 5.0, 5.1, 4.9, 5.0), one("b", 6.0, -5.0, 7.0, -4.0)
    nothing = one("c", 0.0, 0.0, 0.0, 0.0)
    assert conclusion(clear) == "a changes the answer"
    assert conclusion(unclear) == "no effect of b on the answer is shown; more --seeds may show one"
    assert conclusion(largest_first(unclear + clear)) == "a has the largest effect"
    assert "b has the largest effect, but by its p-value that may be chance" in conclusion(
        unclear + nothing
    )
    assert "no effect on the answer is shown" in conclusion(nothing + one("d", *[0.0] * 4))
