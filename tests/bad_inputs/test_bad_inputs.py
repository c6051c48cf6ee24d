"""Bad input gets one sentence that names what is wrong and what is allowed; see ``corpus.yaml``."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bad_inputs.runner import KINDS, Answer, Case, faults, groups, wrong

ROOT = Path(__file__).resolve().parents[2]
RATE = Case("compass-sim workload.rat=0.50", "unknown_key", "workload.rat=0.50", (), "rate")
GOOD = "compass-sim: workload.rat=0.5: there is no key workload.rat; did you mean 'rate'?\n"
BOUND = Case("compass-sim seed=-1", "bad_number", "seed=-1", ("0",))


def test_a_sentence_with_all_that_its_kind_requires_is_right():
    assert list(faults(RATE, Answer(2, "", GOOD))) == []
    assert list(faults(BOUND, Answer(2, "", "compass-sim: seed=-1.0: must be 0 or more\n"))) == []
    assert list(faults(Case("compass-sim", "accepted", ""), Answer(0, "table", ""))) == []


@pytest.mark.parametrize(
    ("case", "answer", "fault"),
    [
        (RATE, Answer(1, "", GOOD), "has status 1"),
        (RATE, Answer(2, "a table", GOOD), "prints on standard output"),
        (RATE, Answer(2, "", ""), "has 0 lines"),
        (RATE, Answer(2, "", GOOD * 2), "has 2 lines"),
        (RATE, Answer(2, "", f"Traceback (most recent call last):\n{GOOD}"), "is a traceback"),
        (RATE, Answer(2, "", GOOD.partition(": ")[2]), "has a line that is no sentence"),
        (RATE, Answer(2, "", GOOD.replace("workload.rat=", "")), "does not name workload.rat=0.50"),
        (RATE, Answer(2, "", GOOD.replace("0.5", "0.6")), "does not name workload.rat=0.50"),
        (RATE, Answer(2, "", GOOD.partition(";")[0] + "\n"), "does not say what is allowed"),
        (RATE, Answer(2, "", GOOD.replace("'rate'", "'rats'")), "does not suggest rate"),
        (BOUND, Answer(2, "", "compass-sim: seed=-1: must be 10 or more\n"), "does not say 0"),
        (BOUND, Answer(0, "", "compass-sim: seed=-1: must be 0 or more\n"), "has status 0"),
        (replace(RATE, kind="accepted"), Answer(0, "", GOOD), "has 1 lines"),
    ],
)
def test_a_sentence_that_lacks_something_is_wrong(case, answer, fault):
    assert any(found.startswith(fault) for found in faults(case, answer))


def test_the_corpus_keeps_its_commands():
    titles = [(group.name, case.command) for group in groups() for case in group.cases]
    assert len(titles) == len(set(titles)) >= 1054
    assert {case.kind for group in groups() for case in group.cases} == set(KINDS)


def test_some_bad_inputs_are_answered_as_their_kinds_require():
    some = [replace(group, cases=group.cases[::40]) for group in groups() if not group.setup]
    assert list(wrong(some)) == []


@pytest.mark.slow
def test_all_bad_inputs_are_answered_as_their_kinds_require():
    """Other tests make classes and options known to this process, so it takes one of its own."""
    command = [sys.executable, "-m", "tests.bad_inputs"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
