"""The tools that make many runs: compare, capacity and sensitivity."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab.analysis.comparison import Comparison
from lab.mcp_server.answers import Answer, Place, Progress, Tell, numbers_of, sentences, unit
from lab.mcp_server.tool_arguments import Capacity, Compare, InScenario, Sensitivity, varied
from lab.run_cache.jobs import Row
from lab.runs.summary import plain
from lab.what_if.capacity_answer import CapacityAnswer, Target, find_cheapest
from lab.what_if.changes import compared, named, of_rows
from lab.what_if.question import all_varied
from lab.what_if.runs import AS_IT_IS, Runs, by_setting
from lab.what_if.sensitivity import conclusion
from lab.what_if.sensitivity_answer import Question, SensitivityAnswer
from lab.what_if.sensitivity_answer import Sensitivity as Effects

DIRECTORY = "what_if"
"""The directory in which all of these tools keep finished runs."""


def compare(asked: Compare, place: Place, tell: Tell) -> Answer:
    """Compare changes with the scenario as it is."""
    changes = [each.overrides for each in asked.changes]
    settings, rows = named(changes), list[Row]()
    words = [*("what-if", *asked.overrides), *(w for each in changes for w in ("--change", *each))]
    names = {name: " ".join(each) for name, each in settings.items() if name != AS_IT_IS}

    def answer(comparison: Comparison) -> Answer:
        numbers = numbers_of(comparison)
        seeds = comparison.runs["seed"].n_unique()
        said = "; ".join(f"{name}: {text}" for name, text in names.items())
        raised = sum(row.get("planner_errors", 0) > 0 for row in rows)
        told = Answer(
            answer=f"{asked.planner} in {asked.experiment}, {seeds} seeds; {said}. "
            f"{sentences(numbers)}",
            numbers=numbers,
            note=f"The planner raised errors in {raised} of {len(rows)} runs." if raised else "",
        )
        return _completed(told, place, [*words, "--seeds", f"{asked.seeds}"])

    def heard(row: Row) -> None:
        rows.append(row)
        so_far = answer(of_rows(settings, by_setting(rows)))
        tell(Progress(len(rows), len(settings) * asked.seeds, _about(row), so_far))

    runs = _runs(asked, place, heard)
    return answer(compared(runs, settings, range(asked.seeds)))


def capacity(asked: Capacity, place: Place, tell: Tell) -> Answer:
    """Find the cheapest machines that reach a target."""
    bound = asked.at_most if asked.at_least is None else asked.at_least
    assert bound is not None
    at_least = asked.at_least is not None
    target = Target(asked.metric, bound, at_least, asked.confidence, asked.seeds)
    target.check()
    texts = varied(asked.vary)
    words = [
        *("capacity", *asked.overrides, *(w for text in texts for w in ("--vary", text))),
        *("--metric", asked.metric, target.option, f"{bound}"),
        *("--confidence", f"{asked.confidence}", "--seeds", f"{asked.seeds}"),
    ]
    made, known = 0, Answer(answer="No combination is judged yet.")

    def answer(found: CapacityAnswer, said: Sequence[str]) -> Answer:
        numbers = {"unit": unit(asked.metric), "combinations": plain(found.rows)}
        told = Answer(answer=" ".join(f"{one}." for one in said), numbers=numbers)
        return _completed(told, place, words)

    def judged(found: CapacityAnswer) -> None:
        nonlocal known
        count = len(found.tried)
        known = answer(found, [f"{count} of {len(found.every)} combinations are judged so far"])

    def heard(row: Row) -> None:
        nonlocal made
        made += 1
        tell(Progress(made, None, _about(row), known))

    keys = all_varied(texts)
    found = find_cheapest(_runs(asked, place, heard), keys, target, judged)
    return answer(found, found.conclusion())


def sensitivity(asked: Sensitivity, place: Place, tell: Tell) -> Answer:
    """Rank assumptions by their effect on an answer."""
    texts, rows, left_out = varied(asked.vary), list[Row](), list[str]()
    against = None if asked.against is None else f"planner={asked.against}"
    question = Question(asked.metric, texts, against, asked.seeds)
    question.check()
    words = [
        *("sensitivity", *asked.overrides, *(w for text in texts for w in ("--vary", text))),
        *("--metric", asked.metric, *(() if against is None else ("--against", against))),
        *("--seeds", f"{asked.seeds}"),
    ]

    def answer(found: SensitivityAnswer) -> Answer:
        mean, low, high = found.of_base
        base = {"n": len(found.known), "mean": mean, "low": low, "high": high}
        numbers = {"unit": unit(asked.metric), "base": base, "effects": found.rows}
        said = conclusion(found.effects, asked.metric) if found.effects else "no effect is known"
        told = Answer(
            answer=f"The answer is {found.of}: {said}.",
            numbers=plain(numbers),
            note="; ".join(left_out),
        )
        return _completed(told, place, words)

    def heard(row: Row) -> None:
        rows.append(row)
        so_far = answer(effects.of_rows(by_setting(rows)))
        tell(Progress(len(rows), len(effects.settings) * asked.seeds, _about(row), so_far))

    effects = Effects(_runs(asked, place, heard), question, left_out.append)
    return answer(effects.answer())


def _runs(asked: InScenario, place: Place, heard: Any) -> Runs:
    return Runs(asked.overrides, place.directory / DIRECTORY, place.jobs, heard)


def _about(row: Row) -> str:
    return f"seed {row['seed']}, {row['settings']}"


def _completed(answer: Answer, place: Place, words: Sequence[str]) -> Answer:
    """Return an answer with its command and directory."""
    command = shlex.join(["compass-lab", *words])
    return replace(answer, command=command, directory=str(place.directory / DIRECTORY))
