"""Regrets add up to the gap, resume where they stopped, and are shown by the commands."""

import json
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from math import fsum

import pytest

from lab import run
from lab.cli.tools import main
from lab.common.errors import InputError
from lab.forks.alternatives import alternatives
from lab.forks.fork import continued
from lab.forks.regret import COST, GOODPUT, Decision, Examination, Regret, Regrets, decisions
from lab.forks.regret_file import read_regrets
from lab.forks.run_on_disk import setup_of
from sim.controlplane.recording import Forced, Instead, Recorder

SMALL = (
    *("experiment=speech_small", "planner=cheapest_feasible", "data_plane=events"),
    *("workload.rate=0.05", "horizon_s=70", "bound_every_s=70"),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("regret") / "run"
    run(SMALL, directory=place)
    return place


@pytest.fixture(scope="module")
def few():
    """Let fewer alternatives be tried, so that tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.forks.regret.alternatives", partial(alternatives, best=3))
        yield


@pytest.fixture(scope="module")
def examined(directory, few):
    """Return an examination that was stopped and resumed, and what was kept after each decision."""
    kept = []
    keep = lambda regrets: kept.append(json.loads(json.dumps(asdict(regrets))))  # noqa: E731
    first = Examination(setup_of(directory), Regrets(GOODPUT), keep)
    first.examine(lambda: not kept)
    assert len(kept) == 1
    assert first.regrets.left
    second = Examination(setup_of(directory), read_regrets(kept[0]), keep)
    second.examine()
    return second, kept


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_regrets_add_up_to_the_gap_to_an_uninterrupted_run(examined):
    regrets = examined[0].regrets
    assert not regrets.left
    assert regrets.gap > 0
    assert fsum(each.regret for each in regrets.found) == pytest.approx(regrets.gap, rel=0.01)
    assert regrets.checked == regrets.after
    regrets.check()
    assert all(each.regret >= 0 and each.tried >= 3 for each in regrets.found)


def test_every_decision_is_examined_once_also_if_it_was_resumed(examined):
    done = [(each.decision.call, each.decision.query) for each in examined[0].regrets.found]
    assert done == sorted(set(done))
    assert len(examined[1][0]["found"]) == 1
    assert examined[1][0]["found"] == examined[1][-1]["found"][:1]


def test_what_is_kept_is_read_back(examined):
    regrets = examined[0].regrets
    assert read_regrets(json.loads(json.dumps(asdict(regrets)))) == regrets


def test_waiting_again_is_no_new_decision(directory):
    setup = setup_of(directory)
    recording = continued(setup, Recorder()).recorded.recording
    first, *_ = decisions(recording)
    waits = continued(setup, Recorder(recording, first.call, [forced(first)])).recorded.recording
    of_query = [each for each in decisions(waits) if each.query == first.query]
    assert of_query[0].chosen == "wait"
    assert all(one.chosen != two.chosen for one, two in pairwise(of_query))


def forced(decision):
    return Forced(decision.call, decision.query, Instead.WAIT)


def test_cost_counts_only_without_a_loss_of_goodput(directory):
    examination = Examination(setup_of(directory), Regrets(COST))
    now = examination._now
    worse = {**now.summary, "service_goodput_mean": now.summary["service_goodput_mean"] - 1}
    cheaper = {"total_cost_usd": now.summary["total_cost_usd"] - 1}
    assert gain(examination, now, cheaper) == pytest.approx(1)
    assert gain(examination, now, worse | cheaper) == -float("inf")


def gain(examination, now, changed):
    return examination._gain(replace(now, summary={**now.summary, **changed}))


def test_regrets_that_do_not_add_up_are_refused():
    decision = Decision(0, 0, 1.0, "arrival", "wait")
    regrets = Regrets(GOODPUT, [Regret(decision, 0.5, "refuse", 3)], 1.0, 1.5, 1.4)
    with pytest.raises(InputError, match="the planner may not be deterministic"):
        regrets.check()
    lost = Regrets(GOODPUT, [Regret(decision, 0.5, "refuse", 3)], 1.0, 1.5, 0.5)
    with pytest.raises(InputError, match=r"differs from the gap -0\.5"):
        lost.check()


def test_the_command_says_what_it_did_not_examine_and_explain_shows_regrets(
    directory, examined, capsys, tmp_path
):
    assert main(["regret", str(directory), "--hours", "0", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "decisions examined: 0, with 0 alternatives" in printed
    assert "decisions not examined: " in printed
    kept = json.loads((tmp_path / "regret_goodput.json").read_text())
    finished = {**kept, **examined[1][-1]}
    (directory / "regret_goodput.json").write_text(json.dumps(finished))
    assert main(["regret", str(directory)]) == 0
    printed = capsys.readouterr().out
    assert "an uninterrupted run with all best choices has" in printed
    query = finished["found"][0]["decision"]["query"]
    assert main(["explain", str(directory), str(query)]) == 0
    assert "Regret: what the best alternative to a decision would have" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"config": "other"}', "is damaged"),
        ("other", "another config"),
    ],
)
def test_a_file_that_is_not_of_the_run_is_refused(
    directory, examined, capsys, refused, tmp_path, content, sentence
):
    main(["regret", str(directory), "--hours", "0", "--out", str(tmp_path)])
    path = tmp_path / "regret_goodput.json"
    if content == "other":
        content = json.dumps({**json.loads(path.read_text()), "config": "other"})
    path.write_text(content)
    capsys.readouterr()
    assert sentence in refused("regret", directory, "--out", tmp_path)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "RUN=nowhere: "),
        ([".", "--hours", "-1"], "--hours -1.0: must be 0 or more"),
        ([".", "--by", "luck"], "--by"),
    ],
)
def test_bad_input_is_one_sentence(capsys, words, sentence):
    try:
        status = main(["regret", *words])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert sentence in capsys.readouterr().err
