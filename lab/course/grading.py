"""What a step of the course is, and how an answer to it becomes feedback."""

import copy
import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from scenarios.random_streams import stream

UNANSWERED = "no answer yet"
RIGHT = "right"
MOST_SHOWN = 160
"""Largest number of characters of an input or of an answer in feedback."""

Arguments = tuple[Any, ...]
Answer = Callable[..., Any]


@dataclass(frozen=True)
class Feedback:
    """What a grader says of an answer. It is true if the answer is right."""

    step: str
    passed: bool
    text: str

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"step {self.step}: {self.text}"

    __repr__ = __str__


class NotYetError(Exception):
    """An answer is not right; the message says why."""


class UnansweredError(Exception):
    """There is no answer yet."""


@dataclass(frozen=True)
class Step:
    """A step of the course.

    Attributes:
        name: the notebook's number and its own, such as ``"1.2"``.
        title: what the step is about.
        points: its points.
        hints: three hints, each of which gives away more than the one before.
        grade: takes an answer and a random generator, and raises `NotYetError` or `UnansweredError`
            unless the answer is right.
    """

    name: str
    title: str
    points: int
    hints: tuple[str, str, str]
    grade: Callable[[Any, np.random.Generator], None]

    def feedback(self, answer: Any, seed: int) -> Feedback:
        """Return what the grader says of an answer, on inputs drawn from a seed."""
        try:
            self.grade(answer, stream(seed, "course", self.name))
        except UnansweredError:
            return Feedback(self.name, False, UNANSWERED)
        except NotYetError as complaint:
            return Feedback(self.name, False, f"not yet: {complaint}")
        return Feedback(self.name, True, RIGHT)


@dataclass(frozen=True)
class Mistake:
    """A common wrong answer, and what to say of it.

    Attributes:
        answer: the wrong function. An answer that agrees with it on every input made this mistake.
        advice: one sentence that leads on, without the solution.
    """

    answer: Answer
    advice: str


@dataclass(frozen=True)
class Exercise:
    """The grader of a step whose answer is a function: it is called on drawn inputs.

    Attributes:
        wanted: what the function must return, with an example, such as ``"a number, such as 2.5"``.
        has_form: whether a returned value has this form.
        draw: the inputs, from a random generator; several, because a constant must not be right.
        complaint: takes a returned value and the inputs; says what is wrong, or nothing.
        mistakes: wrong answers that have their own feedback.
    """

    wanted: str
    has_form: Callable[[Any], bool]
    draw: Callable[[np.random.Generator], Iterable[Arguments]]
    complaint: Callable[..., str]
    mistakes: tuple[Mistake, ...]

    def __call__(self, answer: Any, rng: np.random.Generator) -> None:
        """Raise `NotYetError` or `UnansweredError` unless the answer is right for every input."""
        check_function(answer)
        cases = list(self.draw(rng))
        found = [formed(answer, copy.deepcopy(each), self.wanted, self.has_form) for each in cases]
        complaints = [
            self.complaint(value, *copy.deepcopy(arguments))
            for value, arguments in zip(found, cases, strict=True)
        ]
        if not any(complaints):
            return
        for mistake in self.mistakes:
            if all(map(same, found, _answers(mistake.answer, cases))):
                raise NotYetError(mistake.advice)
        if all(same(value, found[0]) for value in found):
            raise NotYetError("it returns the same for every input; use its arguments")
        first = next(number for number, each in enumerate(complaints) if each)
        raise NotYetError(
            f"{complaints[first]} (it returned {shown(found[first])} for "
            f"{', '.join(map(shown, cases[first]))})"
        )


def check_function(answer: Any) -> None:
    """Raise `NotYetError` or `UnansweredError` unless an answer is a function."""
    if answer is None:
        raise UnansweredError
    if not callable(answer):
        raise NotYetError(
            f"the function itself is wanted, not a value such as {shown(answer)}: write its name "
            "without parentheses"
        )


def formed(
    answer: Answer, arguments: Arguments, wanted: str, has_form: Callable[[Any], bool]
) -> Any:
    """Return what an answer returns; another form than that wanted becomes feedback."""
    value = called(answer, *arguments)
    if not has_form(value):
        nothing = "; it returned nothing, so look for a missing return"
        got = nothing if value is None else f"; it returned {shown(value)}"
        raise NotYetError(f"it must return {wanted}{got}")
    return value


def called(answer: Answer, *arguments: Any) -> Any:
    """Return what an answer returns; what it raises becomes feedback."""
    try:
        return answer(*arguments)
    except NotImplementedError as error:
        raise UnansweredError from error
    except (Exception, SystemExit) as error:
        inputs = ", ".join(map(shown, arguments))
        said = f"{type(error).__name__}: {shown_text(str(error))}{_line(error)}"
        raise NotYetError(f"it raised {said}, for {inputs}") from error


def _line(error: BaseException) -> str:
    """Return a clause with the line of the answer's cell or file that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [each for each in frames if each.filename != __file__]
    return f" in line {mine[0].lineno}" if mine else ""


def _answers(mistake: Answer, cases: Sequence[Arguments]) -> list[Any]:
    """Return what a mistake returns on each input; what it cannot answer is equal to nothing."""
    found: list[Any] = []
    for arguments in cases:
        try:
            found.append(mistake(*copy.deepcopy(arguments)))
        except (ArithmeticError, ValueError, LookupError):
            found.append(math.nan)
    return found


def same(one: Any, other: Any) -> bool:
    """Return whether two answers are the same, numbers within a billionth."""
    try:
        return bool(np.allclose(one, other, rtol=1e-9, atol=0))
    except (TypeError, ValueError):
        return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """Return a value with tuples for all sequences, so that they can be equal."""
    sequence = isinstance(value, list | tuple | np.ndarray | pl.Series)
    return tuple(map(_plain, value)) if sequence else value


def shown(value: Any) -> str:
    """Return a value as feedback shows it, in one short line."""
    if isinstance(value, pl.DataFrame):
        return f"a frame of {value.height} rows"
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"an array of shape {value.shape}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ", ".join(f"{name}={shown(getattr(value, name))}" for name in value._fields)
    if callable(value):
        return "a function"
    return shown_text(" ".join(repr(_rounded(value)).split()))


def _rounded(value: Any) -> Any:
    """Return a value whose numbers have four digits, those within lists and dictionaries too."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [*map(_rounded, value)]
    if isinstance(value, tuple):
        return (*map(_rounded, value),)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return value


def shown_text(text: str) -> str:
    """Return a text, cut to `MOST_SHOWN` characters."""
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 4]} ..."
