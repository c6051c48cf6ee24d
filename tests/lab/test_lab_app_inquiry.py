"""What the app tells of a query: the explanation of the shell, and regrets of its decisions."""

import pytest

from lab import run
from lab.app.inquiry import GONE, MOST_ROWS, explanation, regrets
from lab.cli.tools import main
from lab.forks.alternatives import alternatives
from lab.forks.regret import GOODPUT, Examination, Regrets
from lab.forks.run_on_disk import setup_of

SMALL = (
    *("experiment=speech_small", "planner=cheapest_feasible", "data_plane=events"),
    *("workload.rate=0.05", "horizon_s=70", "bound_every_s=70"),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("inquiry") / "run"
    run(SMALL, directory=place)
    return place


@pytest.fixture
def few(monkeypatch):
    """Let decisions have one plan as alternative, so that tests are quick."""
    one = lambda *words: alternatives(*words)[2:3]  # noqa: E731 -- a better one for query 1
    monkeypatch.setattr("lab.forks.regret.alternatives", one)


@pytest.fixture
def mistake(directory, few):
    """Return the first decision that was not the best, as ``compass-lab regret`` finds it."""
    examination = Examination(setup_of(directory), Regrets(GOODPUT))
    examination.examine(lambda: not any(each.regret for each in examination.regrets.found))
    return examination.regrets.found[-1]


def test_the_explanation_is_that_of_the_shell(directory, capsys):
    assert main(["explain", str(directory), "1", "--rows", str(MOST_ROWS)]) == 0
    _, *shell = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert explanation(directory, 1).splitlines() == shell
    assert explanation(directory, 1).startswith("Query 1: ")


def test_an_unknown_query_or_run_gets_a_sentence(directory, tmp_path):
    assert "QUERY=999: no such query; the run has queries 0 to" in explanation(directory, 999)
    assert explanation(tmp_path / "gone", 0) == regrets(tmp_path / "gone", 0, lambda: True) == GONE
    assert "summary.json" in explanation(tmp_path, 0)
    assert str(tmp_path) in regrets(tmp_path, 0, lambda: True)


def test_a_mistake_is_found_as_among_all_decisions(directory, mistake):
    query = mistake.decision.query
    head, *lines = regrets(directory, query, lambda: True).splitlines()
    text = " ".join(line.strip() for line in lines)
    assert mistake.regret > 0
    assert mistake.in_words() in text
    assert head == f"Decisions on query {query}: {text.count(' s, on ')}."
    assert "Not examined" not in text


def test_what_there_was_no_time_for_is_said(directory):
    said = ["Decisions on query 1: 1.", "Not examined within 0 s: 1."]
    assert regrets(directory, 1, lambda: True, most_s=0.0).splitlines() == said
    moved = regrets(directory, 1, lambda: False).splitlines()
    assert moved[1:] == ["Not examined because a control was moved: 1."]
