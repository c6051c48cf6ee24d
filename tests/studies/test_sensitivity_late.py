"""Seeds on which a median response time was never reached are no seeds to leave out."""

import polars as pl
import pytest

from lab.cli.tools import main
from lab.what_if.runs import Runs
from lab.what_if.sensitivity import Effect, answers, conclusion, effect, largest_first

NAMED = ["experiment=speech_small", "planner=greedy", "--seeds", "5"]
VARY = ["--vary", "workload.rate=0.05,0.2"]


def rows(metric: str, *values: float | None) -> list[dict[str, float]]:
    """Return runs as they are kept: without what is no number."""
    return [
        {"seed": seed, **({} if value is None else {metric: value})}
        for seed, value in enumerate(values)
    ]


@pytest.fixture
def simulated(monkeypatch):
    """Return what sets the values of the metric in the base, and for each of two settings."""

    def made_up(metric: str, *settings: tuple[float | None, ...]) -> None:
        monkeypatch.setattr(Runs, "make", lambda *_: [rows(metric, *each) for each in settings])

    return made_up


def effects(*values: float | None, late: bool) -> list[Effect]:
    base = answers(rows("x", 3.0, 3.1, 2.9, 3.0, 3.0), None, "x")
    low = effect("a", "1", 2, base, answers(rows("x", *values), None, "x"), late=late)
    high = effect("b", "9", 2, base, answers(rows("x", 9.0, 9.1, 9.2, 9, 9), None, "x"), late=late)
    return largest_first([high, low])


def test_lucky_seeds_do_not_make_a_change_look_better() -> None:
    first, second = effects(1.0, 1.1, None, 0.9, None, late=True)
    assert (first.key, first.difference, first.p) == ("a", (None, None, None), None)
    assert (first.seeds, first.left_out, first.sure) == (3, 2, False)
    assert (second.key, second.seeds, second.left_out) == ("b", 5, 0)
    said = conclusion([first, second], "response_time_p50_s")
    assert said.startswith("no conclusion: the median was not reached on 2 of 5 seeds, with a=1 ")


def test_a_seed_that_has_nothing_to_measure_is_left_out() -> None:
    first, second = effects(1.0, 1.1, None, 0.9, 1.0, late=False)
    assert [first.key, second.key] == ["b", "a"]
    assert (second.seeds, second.left_out) == (4, 1)
    assert second.difference[0] == pytest.approx(-2.025)
    assert conclusion([first, second], "x") == "b has the largest effect"


def test_a_seed_lacks_its_answer_where_either_planner_has_none() -> None:
    ours, theirs = rows("x", 1.0, None, 3.0), rows("x", 0.5, 2.0, None)
    assert [row["answer"] for row in answers(ours, theirs, "x")] == [0.5, None, None]


def test_medians_that_were_not_reached_are_told(simulated, capsys, tmp_path) -> None:
    metric = "response_time_p50_s"
    simulated(metric, (3, 3, 3.2, 3, 3.1), (2, 2, 2.2, 2, 2.1), (2, None, None, 2, None))
    words = [*NAMED, *VARY, "--metric", metric, "--out", str(tmp_path)]
    assert main(["sensitivity", *words]) == 0
    said = capsys.readouterr().out
    assert "unknown: the median was not reached on 3 of 5 seeds\n" in said
    assert said.splitlines()[-1].startswith("no conclusion: the median was not reached on 3 of 5")
    assert "base: response_time_p50_s of Greedy: 3.06 [" in said
    [table] = tmp_path.glob("*.csv")
    found = {row["set_to"]: row for row in pl.read_csv(table).to_dicts()}
    assert (found[0.05]["seeds"], found[0.05]["seeds_left_out"]) == (5, 0)
    assert (found[0.2]["seeds"], found[0.2]["seeds_left_out"]) == (2, 3)
    assert found[0.2]["change"] is None


def test_a_base_that_was_not_reached_is_told(simulated, capsys, tmp_path) -> None:
    metric = "response_time_p50_s"
    simulated(metric, (3, None, 3, 3, 3), (2, 2, 2, 2, 2), (4, 4, 4, 4, 4))
    assert main(["sensitivity", *NAMED, *VARY, "--metric", metric, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"base: {metric} of Greedy: the median was not reached on 1 of 5 seeds\n" in said
    assert said.count("unknown: the median was not reached on 1 of 5 seeds\n") == 2


def test_how_many_seeds_a_change_rests_on_is_told(simulated, capsys, tmp_path) -> None:
    metric = "queries.premium"
    simulated(metric, (3, 3, 3.2, None, 3.1), (2, 2, 2.2, 2, 2.1), (2, 1.5, 2, 2, 2))
    assert main(["sensitivity", *NAMED, *VARY, "--metric", metric, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("; there is no value on 1 of 5 seeds")
    assert [line.split()[3] for line in said if line.startswith("workload.rate  ")] == ["4"] * 2
