"""Graders of the course: wrong answers get feedback that tells them apart, right ones pass."""

import re
import sys
import time
from itertools import count
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from lab.common.errors import InputError
from lab.course import check, hint, matching, steps
from lab.course.grading import RIGHT, UNANSWERED
from notebooks.course import build
from planners import CheapestFeasible
from tests.course import wrong_models, wrong_plans  # noqa: F401 -- they register their answers
from tests.course.wrong_answers import WRONG

STEPS = steps()
SEEDS = (0, build.HIDDEN_SEED, 7)
NUMBERS = count()


def answers(notebook):
    """Return the function or class that each answer cell of a notebook defines, by step."""
    module = ModuleType(f"answers_{next(NUMBERS)}")  # so that planners can be pickled
    sys.modules[module.__name__] = module
    scope, found = vars(module), {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith("answer-"):
            exec(cell.source, scope)
            found[name.removeprefix("answer-").replace("-", ".")] = scope[
                build._defined(cell.source)
            ]
        elif not name and "import " in cell.source:
            lines = [each for each in cell.source.splitlines() if "import" in each]
            exec("\n".join(lines), scope)
    return found


MODEL, EMPTY = {}, {}
for name in build.names():
    MODEL |= answers(build.solved(name))
    EMPTY |= answers(build.released(name))


def test_each_step_is_in_a_notebook_and_has_wrong_answers():
    assert [*MODEL] == [*EMPTY] == [*STEPS] == [*WRONG]
    for name in STEPS:
        assert name.partition(".")[0] in [each.partition("_")[0] for each in build.names()]
        assert len(WRONG[name]) >= 2


SIMULATED = "5.3"
"""The step whose check simulates; the longer checks try it on further seeds."""


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param(name, seed, marks=pytest.mark.slow if seed and name == SIMULATED else [])
        for name in STEPS
        for seed in SEEDS
    ],
)
def test_the_model_solution_passes_on_every_seed(name, seed):
    feedback = check(name, MODEL[name], seed)
    assert feedback, feedback
    assert feedback.text == RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_check_takes_at_most_two_seconds(name):
    check(name, MODEL[name])  # what is loaded or compiled once does not count
    began = time.process_time()
    assert check(name, MODEL[name])
    assert time.process_time() - began < 2


@pytest.mark.parametrize("name", STEPS)
def test_the_empty_notebook_has_no_answer(name):
    feedback = check(name, EMPTY[name])
    assert not feedback
    assert feedback.text == UNANSWERED
    assert check(name, None).text == UNANSWERED


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=pytest.mark.slow if each == SIMULATED else []) for each in STEPS],
)
def test_common_wrong_answers_get_feedback_of_their_own(name):
    said = {}
    for words, wrong in WRONG[name]:
        for seed in SEEDS:
            feedback = check(name, wrong, seed)
            assert not feedback
            assert words in feedback.text, feedback
        said[feedback.text] = words
    assert len(said) == len(WRONG[name])


def returned(name):
    """Return what the model solution returns in a check, each value once."""
    values = []

    def recorded(*arguments):
        values.append(MODEL[name](*arguments))
        return values[-1]

    assert check(name, recorded)
    return list({str(each): each for each in values}.values())


def constant(value):
    def answer(*arguments):
        for measure in filter(callable, arguments):  # a check can ask for a measurement, or a run
            measure(1, 1)
        return value

    return answer


@pytest.mark.parametrize("name", [each for each in STEPS if each != SIMULATED])
def test_the_expected_constant_is_not_right(name):
    """Whatever the solution returns for one input, it is wrong for others."""
    values = returned(name)
    assert len(values) > 1
    for value in values:
        feedback = check(name, constant(value))
        assert not feedback
        assert feedback.text != UNANSWERED
        assert "without a" not in feedback.text


@pytest.mark.slow
@pytest.mark.parametrize("seed", matching.SEEDS)
def test_the_model_planner_leads_clearly_in_each_world(seed):
    mine, plans = matching._served(MODEL[SIMULATED](), seed)
    assert mine > 1.5 * matching._cached_goodput(CheapestFeasible, seed)
    assert plans > 1


class SamePlan(MODEL[SIMULATED]):
    """What is constant of a planner is its plan: the first that the solution chooses."""

    def choose(self, context, query):
        plan = context.recall("first") or super().choose(context, query)
        context.remember("first", plan)
        return plan if plan is not None and context.fits(query, plan) else None


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_plan_for_everybody_is_not_right(seed):
    assert "the same plan" in check(SIMULATED, SamePlan, seed).text


class NeedsMore(MODEL[SIMULATED]):
    def __init__(self):
        raise KeyError("more")


def test_a_planner_that_cannot_be_made_becomes_feedback():
    assert "it raised KeyError: 'more'" in check(SIMULATED, NeedsMore).text


def test_forms_and_errors_become_feedback():
    def broken(*arguments):
        return 1 / 0

    assert "ZeroDivisionError" in check("1.1", broken).text
    assert "in line" in check("1.1", broken).text
    assert "missing return" in check("1.1", lambda *arguments: None).text
    assert "a number of requests, such as 12.5" in check("1.1", lambda *arguments: "12").text
    assert "the function itself is wanted" in check("1.1", 12.5).text
    assert "missing 3 required positional" in check("1.1", lambda a, b, c, d, e, f: 1).text
    assert "SystemExit" in check("1.1", lambda *arguments: sys.exit(3)).text
    assert re.search(
        r"for work_s=\[\d\.\d+, .*links=\{'edge': \(\d+\.0, 0\.\d{,6}\), 'cloud'",
        check("3.1", lambda world: ["cloud"] if world.bound_s < 1 else ["device"]).text,
    )
    assert " % is 0.4" in check("1.2", lambda bound, share: 40 + bound / 1e3).text


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("4.2", lambda model, per_s, bound_s: (5, int(per_s)), "slices must be one of 1, 2, 3, 4"),
        ("4.2", lambda model, per_s, bound_s: (1, int(per_s)), "batch must be one of 1, 2, 4, 8"),
        ("4.3", lambda model, batch, bound_s: (6, batch), "slices must be one of 1, 2, 3, 4, 7"),
        ("4.3", lambda model, batch, bound_s: (7, 20 + batch), "processes must be one of 1, 2, 3"),
        ("6.2", lambda measure, count, floor, budget: count, "from 0 to 7; it returned 8"),
        ("7.1", lambda observed_s, usual_s, sd_s: len(observed_s), "or -1; it returned 400"),
        ("8.2", lambda goodput, target, most: None, "missing return"),
    ],
)
def test_values_out_of_range_are_told_what_is_allowed(name, answer, said):
    assert said in check(name, answer).text


ARRAYS = (np.array(3.0), np.array([]), np.array([1, 2, 3]), np.array(["edge"] * 4))


@pytest.mark.parametrize("name", [each for each in STEPS if each != SIMULATED])
@pytest.mark.parametrize("value", [*ARRAYS, pl.Series([1, 2, 3]), 1e300, {}, "", 1j], ids=str)
def test_whatever_is_returned_gets_feedback(name, value):
    feedback = check(name, constant(value))
    assert not feedback
    assert feedback.text != UNANSWERED


@pytest.mark.parametrize("name", STEPS)
def test_hints_get_longer_and_differ(name):
    hints = [hint(name, level) for level in (1, 2, 3)]
    assert len({*hints}) == 3
    assert all(20 < len(each) < 400 for each in hints)


def test_unknown_steps_and_hints_get_one_sentence():
    with pytest.raises(InputError, match=r"did you mean '1\.1'"):
        check("1.11", None)
    with pytest.raises(InputError, match="three hints"):
        hint("1.1", 4)
