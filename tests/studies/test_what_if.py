"""What-if questions: the search for capacity, and the order of assumptions."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hardware_models.tables import load_table
from lab.cli.tools import main
from lab.common.metrics import METRICS, SHARE
from lab.config.compose import compose
from lab.reporting.plotting import canvas as figures
from lab.run_cache import jobs as grid
from lab.run_cache import keys as run_keys
from lab.run_cache.jobs import Job
from lab.runs.api import run
from lab.what_if import sensitivity
from lab.what_if.capacity import (
    Candidate,
    CandidateVerdict,
    best,
    bound_confidence,
    bounds,
    candidates,
    cheapest,
    judged,
    looks,
    never_worse,
    search,
    useless_counts,
)
from lab.what_if.question import Varied, numbers, varied
from lab.what_if.runs import Runs
from lab.what_if.sensitivity import (
    FACTORS,
    Effect,
    adjusted,
    answers,
    assumptions,
    conclusion,
    effect,
    largest_first,
)
from planners import CheapestFeasible, Greedy

EDGE = Varied("cluster.nodes.edge.count", ("4", "1", "2", "3"))
CLOUD = Varied("cluster.nodes.cloud.count", ("0", "1", "2", "3", "4", "5"))
KIND = Varied("kind", ("old", "new"))


def price(settings_: dict[str, str]) -> float:
    each = 2.0 if settings_.get("kind") == "new" else 1.5
    return 0.5 * float(settings_[EDGE.key]) + each * float(settings_[CLOUD.key])


def power(settings_: dict[str, str]) -> float:
    each = 3.0 if settings_.get("kind") == "new" else 2.0
    return float(settings_[EDGE.key]) + each * float(settings_[CLOUD.key])


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 20), st.booleans())
def test_the_search_finds_the_cheapest_of_all_that_suffice(target: float, kinds: bool) -> None:
    keys = [EDGE, CLOUD, *([KIND] if kinds else [])]
    every = candidates(keys, price)
    simulated = []

    def measure(candidate: Candidate, seeds: range) -> list[float]:
        simulated.append(candidate)
        return [power(candidate.settings)] * len(seeds)

    tried = search(every, never_worse(keys, "slo_met_fraction", True), measure, target, 0.95, 5)
    enough = [each for each in every if power(each.settings) >= target]
    best = cheapest(tried)
    if enough:
        assert best is not None
        assert best.candidate.usd_per_hour == min(each.usd_per_hour for each in enough)
    else:
        assert best is None
    assert len(tried) == len({id(each.candidate) for each in tried}) <= len(every)


@given(st.integers(0, 12))
def test_metrics_that_grow_with_machines_are_searched_without_pruning(most: int) -> None:
    every = candidates([CLOUD], lambda settings_: float(settings_[CLOUD.key]))

    def measure(candidate: Candidate, seeds: range) -> list[float]:
        return [-2 * float(candidate.settings[CLOUD.key])] * len(seeds)

    tried = search(
        every, never_worse([CLOUD], "deployment_cost_usd", False), measure, -most, 0.95, 3
    )
    best = cheapest(tried)
    assert best is not None
    assert best.candidate.settings[CLOUD.key] == "0"


def test_equal_values_of_few_seeds_are_no_proof() -> None:
    seen = []

    def measure(_: Candidate, seeds: range) -> list[float]:
        seen.extend(seeds)
        return [1.0] * len(seeds)

    assert judged(Candidate({}, 1.0), measure, 0.9, 0.95, 12).verdict == CandidateVerdict.SUFFICES
    assert len(seen) == 12
    late = judged(Candidate({}, 1.0), lambda _, seeds: [-math.inf] * len(seeds), 0, 0.95, 12)
    assert late.verdict == CandidateVerdict.FAILS


def test_bounds_are_students_and_a_verdict_needs_the_whole_interval() -> None:
    low, high = bounds([1.0, 2.0, 3.0], 0.025)
    half = 4.3026527 / math.sqrt(3)  # t(0.975, 2), sd 1
    assert (low, high) == pytest.approx((2 - half, 2 + half))
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 1.0, 64)
    candidate = Candidate({}, 1.0)

    def measure(_: Candidate, seeds: range) -> list[float]:
        return [float(noise[seed]) for seed in seeds]

    assert judged(candidate, measure, 5.0, 0.95, 20).verdict == CandidateVerdict.FAILS
    assert judged(candidate, measure, -5.0, 0.95, 20).verdict == CandidateVerdict.SUFFICES
    near = judged(candidate, measure, float(noise.mean()), 0.95, 20)
    assert near.verdict == CandidateVerdict.OPEN
    assert len(near.values) == 20


def test_bounds_allow_for_all_looks_together() -> None:
    assert looks(20) == [3, 5, 8, 12, 20]
    assert bound_confidence(0.95, 20) == pytest.approx(0.99)
    assert bound_confidence(0.95, 3) == pytest.approx(0.95)
    values = [1.0, 2.0, 4.0, 3.0, 1.5]
    one = judged(Candidate({}, 1.0), lambda _, seeds: [values[at] for at in seeds], 2, 0.9, 5)
    assert (one.low, one.high) == pytest.approx(bounds(values, 0.05))


def test_wrong_verdicts_are_as_rare_as_is_stated() -> None:
    """The mean lies on the target, so that every verdict is wrong or may be."""
    wrong = 0
    for trial in range(400):
        rng = np.random.default_rng(trial)
        noise = rng.normal(0.0, 1.0, 12)

        def measure(_: Candidate, seeds: range, noise=noise) -> list[float]:
            return noise[list(seeds)].tolist()

        one = judged(Candidate({}, 1.0), measure, 1e-9, 0.9, 12)
        wrong += one.verdict == CandidateVerdict.SUFFICES
    assert wrong / 400 <= 0.1


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


@pytest.fixture
def simulated(monkeypatch) -> list[tuple[str, ...]]:
    """Return settings as they are asked for; their rows are made up, and no figure is written."""
    settings_: list[tuple[str, ...]] = []

    def make(_, asked, seeds):
        settings_.extend(asked)
        return [[{"seed": seed, "requests": 1.0} for seed in seeds] for _ in asked]

    monkeypatch.setattr(Runs, "make", make)
    monkeypatch.setattr(figures, "save", lambda _, path: path)
    return settings_


@pytest.mark.parametrize(
    ("application", "rate", "needs"),
    [
        ("live_video_chat", 0.16, "125 s"),
        pytest.param("dense_video_captioning", 0.08, "250 s", marks=pytest.mark.slow),
    ],
)
def test_a_default_value_that_cannot_be_run_is_left_out(
    application, rate, needs, capsys, tmp_path, simulated
) -> None:
    scene = [f"application={application}", "planner=greedy", "--metric", "requests"]
    assert main(["sensitivity", *scene, "--out", str(tmp_path)]) == 0
    left_out = f"application.requests_per_s={rate} is left out: application.window_s="
    [line] = [each for each in capsys.readouterr().out.splitlines() if "left out" in each]
    assert line.startswith(left_out)
    assert needs in line
    assert (f"application.requests_per_s={rate}",) not in simulated
    varied_ = [each for [each] in simulated[1:]]
    assert [each for each in varied_ if each.startswith("application.requests_per_s=")]
    named = ["--vary", f"application.requests_per_s={rate},0.3"]  # What the user names is refused.
    assert main(["sensitivity", *scene, *named, "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("other", ["ilp", pytest.param("static_plan", marks=pytest.mark.slow)])
def test_a_default_key_that_the_other_planner_lacks_is_left_out(
    other, capsys, refused, tmp_path, monkeypatch, simulated
) -> None:
    few = {key: FACTORS[key] for key in ("workload.rate", "planner.budget_s")}
    monkeypatch.setattr(sensitivity, "FACTORS", few)
    monkeypatch.setattr(sensitivity, "VALUES", {})
    scene = ["experiment=speech_small", "planner=compass", "--against", f"planner={other}"]
    words = ["sensitivity", *scene, "--metric", "requests", "--out", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("left out") == 1
    assert f"planner.budget_s is left out: planner={other} does not have it\n" in said
    assert ("workload.rate=0.08", f"planner={other}") in simulated
    assert not [each for each in simulated if each and each[0].startswith("planner.budget_s")]
    asked = ["--vary", "planner.budget_s=2.5,10"]
    assert "planner.budget_s=2.5: there is no key" in refused(*words, *asked), "the user names it"


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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["capacity", "--vary", "a=1,2", "--at-least", "1", "seed=3"],
            "seed=3: give the number of seeds",
        ),
        (["capacity", "--vary", "nonsense", "--at-least", "1"], "--vary nonsense: write KEY=A,B"),
        (
            ["capacity", "--vary", "horizon_s=60,60", "--at-least", "1"],
            "horizon_s=60,60: has the value 60 twice",
        ),
        (["capacity", "--vary", "horizn_s=1,2", "--at-least", "1"], "horizon_s"),
        (
            ["capacity", "--vary", "horizon_s=1,2", "--vary", "horizon_s=3,4", "--at-least", "1"],
            "horizon_s is varied twice; give all its values in one --vary",
        ),
        (
            ["capacity", "--vary", "horizon_s=1,2", "--at-least", "1", "--confidence", "2"],
            "--confidence 2.0: must be 0.5 or more and below 1",
        ),
        (
            ["capacity", "--vary", "horizon_s=1,2", "--at-least", "1", "--metric", "slo_met"],
            "--metric slo_met: must be a number of the summary; choose one of slo_met_fraction, ",
        ),
        (
            ["capacity", "--vary", "horizon_s=1,2", "--at-least", "1", "--metric", "requets"],
            "; did you mean 'requests'",
        ),
        (
            ["capacity", "--vary", "horizon_s=1,2", "--at-least", "60"],
            "--at-least 60: slo_met_fraction is a share from 0 to 1; did you mean 0.6?",
        ),
        (
            ["capacity", "--vary", "horizon_s=1,2", "--at-most", "99.9"],
            "--at-most 99.9: slo_met_fraction is a share from 0 to 1; did you mean 0.999?",
        ),
        (
            [
                *("capacity", "--vary", "horizon_s=1,2"),
                *("--metric", "response_time_p50_s", "--at-most", "-1"),
            ],
            "--at-most -1: response_time_p50_s is never below 0",
        ),
        (["sensitivity", "--metric", "planner_class"], "--metric planner_class: must be a number"),
        (
            ["sensitivity", "planner=greedy", "--metric", "slo_met_fraction.premum"],
            "--metric slo_met_fraction.premum: no such class of service; choose one of ",
        ),
        (
            [
                *("capacity", "planner=greedy", "--vary", "horizon_s=20,30", "--at-least", "0.5"),
                *("--metric", "queries.gold"),
            ],
            "--metric queries.gold: no such class of service; choose one of ",
        ),
        (
            [
                *("capacity", "--vary", "horizon_s=1,2", "--at-least", "60"),
                *("--metric", "slo_met_fraction.premium"),
            ],
            "slo_met_fraction.premium is a share from 0 to 1; did you mean 0.6?",
        ),
        (
            ["sensitivity", "planner=greedy", "--vary", "workload.rate=0.1"],
            "--vary workload.rate=0.1: has 1 value of workload.rate; must have exactly two, "
            "workload.rate=LOW,HIGH",
        ),
        (
            ["sensitivity", "planner=greedy", "--vary", "horizon_s=range(1,4)"],
            "--vary horizon_s=range(1,4): has 3 values of horizon_s; must have exactly two, "
            "horizon_s=LOW,HIGH",
        ),
        (["sensitivity", "--seeds", "1"], "--seeds 1: must be 2 or more"),
        (["sensitivity", "planner=compass", "--against", "vulcan"], "write planner=NAME"),
        (
            ["sensitivity", "planner=greedy", "--against", "planner=greedy"],
            "--against planner=greedy: is the planner of the base; name another",
        ),
        (["sensitivity", "planner=compas"], "compass"),
        (
            ["capacity", "planner=comparison", "--vary", "horizon_s=1,2", "--at-least", "0"],
            "planner: name one by planner=NAME, not several to compare",
        ),
        (["sensitivity", "planner=comparison"], "planner: name one by planner=NAME"),
    ],
)
def test_bad_input_gets_one_sentence(words, sentence, refused, tmp_path) -> None:
    assert sentence in refused(*words, "--out", tmp_path)
    assert not any(tmp_path.iterdir())  # Nothing ran.


@pytest.mark.parametrize("target", ["-0.5", "101", "6000"])
def test_a_target_for_a_share_above_1_gets_no_hint_about_percent(target, refused, tmp_path) -> None:
    words = ["capacity", "--vary", "horizon_s=1,2", "--at-least", target, "--out", tmp_path]
    said = f"--at-least {target}: slo_met_fraction is a share from 0 to 1\n"
    assert refused(*words).endswith(said)


def test_the_metrics_are_the_numbers_of_a_summary() -> None:
    result = run(["experiment=speech_small", "switching=free", "horizon_s=60"])
    found = numbers(result)
    shares = result.summary["slo_met_fraction_by_tier"]
    assert found["slo_met_fraction.economy"] == shares["economy"] is not None
    named = {name for name in found if "." not in name} - {"seed"}
    assert sorted(METRICS) == sorted(named | {"goodput_optimum"})  # which is null by default


@pytest.mark.slow
def test_a_class_of_service_is_asked_about(capsys, tmp_path) -> None:
    scene = ["experiment=speech_small", "horizon_s=60", "planner=greedy", "workload.rate=0.5"]
    vary = ["--vary", "cluster.nodes.cloud.count=1,2", "--seeds", "3", "--jobs", "1"]
    asked = ["--metric", "slo_met_fraction.standard", "--at-least", "0.01"]
    assert main(["capacity", *scene, *vary, *asked, "--out", str(tmp_path)]) in (0, 1)
    first = capsys.readouterr().out.splitlines()[0]
    assert "slo_met_fraction.standard at least 0.01 on average, planned by Greedy?" in first


@pytest.mark.slow
def test_a_question_is_answered_from_the_shell(capsys, tmp_path) -> None:
    scene = ["experiment=speech_small", "horizon_s=60", "planner=greedy"]
    out = ["--jobs", "1", "--out", str(tmp_path)]
    vary = ["--vary", "cluster.nodes.cloud.count=1,2"]
    words = ["capacity", *scene, *vary, "--at-most", "1e9", "--metric", "requests", *out]
    assert main([*words, "--seeds", "3"]) == 0
    printed, said = capsys.readouterr()
    assert "suffice, planned by Greedy: cluster.nodes.cloud.count=1, $" in printed
    assert "requests at most 1e+09 on average, planned by Greedy?" in printed
    assert "  mean [one-sided 95 % bounds for 1 look]  verdict" in printed
    [table] = tmp_path.glob("capacity_requests_at_most_1e+09_*.csv")
    figure = table.parent / f"{table.stem}.png"
    assert figure.is_file()
    assert f"figure: {figure}\ntable: {table}\n" in said
    [row] = pl.read_csv(table).iter_rows(named=True)
    assert (row["cluster.nodes.cloud.count"], row["verdict"]) == (1, "suffices")
    assert row["low"] <= row["mean"] <= row["high"]
    for target in (["--at-least", "0"], ["--at-most", "1"]):  # Which any share reaches.
        words = ["capacity", *scene, "--vary", "planner=greedy", *target, *out]
        assert main([*words, "--seeds", "3"]) == 0
        [(low, high)] = re.findall(r"\[(\S+), (\S+)\]", capsys.readouterr().out)
        assert 0 <= float(low) < float(high) <= 1
    words = ["sensitivity", *scene, "--vary", "workload.rate=0.05,0.2", "--metric", "requests"]
    assert main([*words, "--seeds", "2", *out]) == 0
    printed = capsys.readouterr().out
    assert "  change of the answer [95 % interval]\n" in printed
    assert "no effect of workload.rate on the answer is shown; more --seeds" in printed
    [table] = tmp_path.glob("sensitivity_requests_*.csv")
    assert (table.parent / f"{table.stem}.png").is_file()
    rows = pl.read_csv(table)
    assert sorted(rows["set_to"]) == [0.05, 0.2]
    [question] = rows["question"].unique()
    before = table.read_bytes()
    assert main([*shlex.split(question)[1:], *out]) == 0  # The command that it names asks the same.
    assert table.read_bytes() == before
    assert main([*words, "--seeds", "3", *out]) == 0  # Another question leaves it as it is.
    assert table.read_bytes() == before
    assert len([*tmp_path.glob("sensitivity_requests_*.csv")]) == 2
    scene = ["experiment=speech_small", "horizon_s=5", "workload.rate=0.01", "planner=static_plan"]
    link = "network.technologies.5G-NSA-mmWave"
    words = ["sensitivity", *scene, "--vary", f"{link}=0,1", "--metric", "requests", *out]
    assert main([*words, "--seeds", "2"]) == 0
    assert re.search(rf"^{link} +0.2 +1 ", capsys.readouterr().out, re.M)
    words = ["sensitivity", *scene, "--vary", "workload.rate=0.01,0.02", *out]
    assert main([*words, "--seeds", "2", "--metric", "response_time_p50_s"]) == 2
    assert "response_time_p50_s: has no value on any of 2 seeds" in capsys.readouterr().err


def test_figures_state_their_question(monkeypatch, tmp_path) -> None:
    drawn = []

    def keep(figure: Figure, path: Path) -> Path:
        drawn.append(figure)
        return path

    monkeypatch.setattr(figures, "save", keep)
    scene = ["experiment=speech_small", "horizon_s=20", "planner=greedy"]
    out = ["--metric", "requests", "--jobs", "1", "--out", str(tmp_path)]
    capacity = ["--vary", "planner=greedy", "--at-most", "1e9", "--seeds", "3"]
    assert main(["capacity", *scene, *capacity, *out]) == 0
    moves = ["--vary", "workload.rate=0.05,0.2", "--seeds", "2"]
    assert main(["sensitivity", *scene, *moves, *out]) == 0
    asked_of = " ".join(scene)
    titles = [figure.get_suptitle() for figure in drawn]
    assert titles[0] == (
        "Which machines have requests at most 1e+09 on average, planned by the\nplanner of "
        f"each combination?\n{asked_of}"
    )
    assert titles[1] == f"What affects requests of Greedy?\n{asked_of}"
    [legend] = drawn[0].legends  # Nothing fails, or is undecided.
    assert [text.get_text() for text in legend.get_texts()] == ["suffices", "target"]


def test_a_sweep_of_one_key_is_read_as_hydra_reads_it() -> None:
    assert varied("a.b=range(1,4)") == Varied("a.b", ("1", "2", "3"))
    assert varied("a={x: 1},{x: 2}").values == ("{x:1}", "{x:2}")
    assert varied("a=5").values == ("5",)
    assert varied("a.5G=1,2") == Varied("a.5G", ("1", "2"))


@pytest.mark.usefixtures("simulated")
def test_a_target_that_none_reaches_is_reported_with_the_best_one(capsys, tmp_path) -> None:
    scene = ["experiment=speech_small", "planner=greedy"]
    vary = ["--vary", "cluster.nodes.cloud.count=1,2", "--metric", "requests", "--seeds", "3"]
    words = ["capacity", *scene, *vary, "--at-least", "1e9", "--out", str(tmp_path)]
    assert main(words) == 1
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("no combination of 2 is shown to have requests at least 1e+09 on")
    assert "; the best one simulated has " in said
    assert ", planned by Greedy; the best one simulated has " in said
    assert "cluster.nodes.cloud.count=1; more of cluster.nodes.cloud.count was no better" in said
    assert said.endswith(" was no better; vary something else")
    [table] = tmp_path.glob("*.csv")
    assert set(pl.read_csv(table)["planner"]) == {"Greedy"}


def test_of_equal_prices_the_smallest_cluster_is_named() -> None:
    free = Varied("cluster.profiling.lanes", ("1", "2", "4"))
    every = candidates([free], lambda _: 1.0)
    ordered = never_worse([free], "slo_met_fraction", True)

    def measure(candidate: Candidate, seeds: range) -> list[float]:
        return [min(2.0, float(candidate.settings[free.key]))] * len(seeds)

    one = cheapest(search(every, ordered, measure, 2.0, 0.95, 3))
    assert one is not None
    assert one.candidate.settings == {free.key: "2"}
    tried = search(every, ordered, measure, 5.0, 0.95, 3)
    nearest = best(tried, ordered)
    assert nearest.candidate.settings == {free.key: "2"}
    assert useless_counts(tried, nearest, ordered) == [free.key]
    assert useless_counts(tried[:1], nearest, ordered) == []
    undecided = [replace(each, verdict=CandidateVerdict.OPEN) for each in tried]
    assert useless_counts(undecided, nearest, ordered) == []


@pytest.mark.usefixtures("simulated")
def test_bounds_are_named_by_few_digits(capsys, tmp_path) -> None:
    scene = ["experiment=speech_small", "planner=greedy"]
    vary = ["--vary", "horizon_s=20", "--metric", "requests", "--at-least", "0"]
    for seeds, bounds_ in (("8", "98.3"), ("20", "99")):
        assert main(["capacity", *scene, *vary, "--seeds", seeds, "--out", str(tmp_path)]) == 0
        assert f"[one-sided {bounds_} % bounds for" in capsys.readouterr().out


@pytest.mark.usefixtures("simulated")
def test_the_default_planner_is_named(capsys, tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    scene = ["experiment=speech_small", "--out", str(tmp_path)]
    vary = ["--vary", "horizon_s=20", "--metric", "requests", "--at-least", "0", "--seeds", "3"]
    assert main(["capacity", *scene, *vary]) == 0
    named = "planned by CheapestFeasible (the default)"
    said = capsys.readouterr().out
    assert said.count(named) == 2
    assert "with 95 % confidence (for this combination alone) on 3 seeds (1 of 1 comb" in said
    assert named in drawn[0].get_suptitle().replace("\n", " ")
    [table] = tmp_path.glob("*.csv")
    assert pl.read_csv(table)["planner"].to_list() == ["CheapestFeasible (the default)"]


@pytest.mark.usefixtures("simulated")
def test_sensitivity_varies_parameters_of_the_default_planner(capsys, tmp_path) -> None:
    scene = ["experiment=speech_small", "--out", str(tmp_path)]
    vary = ["--vary", "planner.budget_s=2,3", "--metric", "requests", "--seeds", "2"]
    assert main(["sensitivity", *scene, *vary]) == 0
    said = capsys.readouterr().out
    assert said.startswith("base: requests of CheapestFeasible (the default): ")
    assert said.count("\nplanner.budget_s ") == 2


def test_an_experiment_among_settings_may_name_the_planner(tmp_path) -> None:
    runs = Runs((), tmp_path)
    setup, default = runs.setup(["experiment=speech_large"])
    assert (list(setup.planners), default) == (["Compass"], False)
    setup, default = runs.setup(["experiment=speech_small"])
    assert (list(setup.planners), default) == (["CheapestFeasible"], True)
    setup, default = runs.setup(["planner=greedy"])
    assert (list(setup.planners), default) == (["Greedy"], False)


@pytest.mark.usefixtures("simulated")
def test_machines_that_are_always_rented_may_follow_their_count(capsys, refused, tmp_path) -> None:
    scene = ["experiment=speech_small", "cluster=edge_only", "planner=greedy"]
    vary = ["--vary", "cluster.nodes.edge.count=range(1,3)", "--metric", "requests"]
    words = ["capacity", *scene, *vary, "--at-least", "0", "--seeds", "3"]
    out = ["--out", str(tmp_path)]
    said = refused(*words, *out).strip()
    assert said.endswith(
        "cluster.nodes.edge.standby=2: must lie between 0 and the node's count, 1 (at "
        "cluster.nodes.edge.count=1); let it follow the count by "
        "'cluster.nodes.edge.standby=${cluster.nodes.edge.count}'"
    )
    [hint] = shlex.split(said.rpartition("let it follow the count by ")[2])
    assert main([*words, hint, *out]) == 0
    assert "planned by Greedy: cluster.nodes.edge.count=1, $" in capsys.readouterr().out


def test_a_value_that_is_that_of_the_base_is_not_simulated_again(
    capsys, tmp_path, simulated
) -> None:
    scene = ["experiment=speech_small", "planner=greedy", "workload.rate=0.1"]
    vary = ["--vary", "workload.rate=0.1,0.2", "--metric", "requests", "--seeds", "2"]
    assert main(["sensitivity", *scene, *vary, "--out", str(tmp_path)]) == 0
    assert simulated == [(), ("workload.rate=0.2",)]
    assert (
        "workload.rate=0.1 is the same as the base, so it is not simulated"
        in capsys.readouterr().out
    )
    [table] = tmp_path.glob("*.csv")
    assert pl.read_csv(table)["set_to"].to_list() == [0.2]


def test_an_interrupted_question_says_that_runs_are_kept(capsys, tmp_path, monkeypatch) -> None:
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(grid, "_made", interrupted)
    words = ["capacity", "--vary", "horizon_s=20", "--at-least", "0", "--out", str(tmp_path)]
    assert main(words) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("compass-lab: interrupted: finished runs are kept in ")
    assert said.endswith("; the same command makes the others")


@pytest.mark.parametrize(
    ("metric", "at_least", "ordered"),
    [
        ("slo_met_fraction", True, True),
        ("slo_met_fraction", False, False),
        ("unserved", False, True),
        ("unserved", True, False),
        ("dropped", False, False),
        ("deployment_cost_usd", False, False),
    ],
)
def test_machines_rule_others_out_only_where_more_of_them_serve_the_target(
    metric, at_least, ordered
) -> None:
    assert never_worse([CLOUD, KIND], metric, at_least) == ({CLOUD.key} if ordered else set())


def test_runs_are_made_anew_where_the_users_planner_or_table_has_changed(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    planner, prices = tmp_path / "mine_own.py", tmp_path / "prices.csv"
    keys = []
    for number in range(2):
        planner.write_text(f"from planners import Greedy\nclass Mine(Greedy): {number}\n")
        for cost in (1, 2):
            load_table("prices").with_columns(pl.col("price_usd_per_hour") * cost).write_csv(prices)
            run_keys.code.cache_clear()
            overrides = ("planner._target_=mine_own.Mine", f"tables.prices={prices}")
            keys.append(Job(overrides, 0, numbers).key)
    assert len(set(keys)) == 4


def test_a_run_that_was_kept_is_used_again_under_another_limit_of_time() -> None:
    scene = ("experiment=speech_small", "planner=greedy")
    assert Job((*scene, "max_wall_s=60"), 0, numbers).key == Job(scene, 0, numbers).key


def test_a_planner_that_raises_is_told_of(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "always_raises.py").write_text(
        "from planners import Greedy\n"
        "class Raises(Greedy):\n"
        "    def plan(self, context): raise RuntimeError('no')\n"
    )
    scene = ("experiment=speech_small", "horizon_s=60", "planner._target_=always_raises.Raises")
    [rows] = Runs(scene, tmp_path / "kept", 1).make([[]], [0, 1])
    assert all(row["planner_errors"] for row in rows)
    assert "the planner raised errors in 2 of 2 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("base", "other", "planner"),
    [
        (
            ["planner._target_=planners.Greedy", "planner.samples=3"],
            "planner=cheapest_feasible",
            CheapestFeasible(),
        ),
        (["planner=cheapest_feasible"], "planner._target_=planners.Greedy", Greedy()),
    ],
)
def test_another_planner_gets_nothing_of_the_planner_of_the_base(tmp_path, base, other, planner):
    setup, default = Runs(["experiment=speech_small", *base], tmp_path).setup([other])
    [found] = setup.planners.values()
    assert (type(found), found.parameters()) == (type(planner), planner.parameters())
    assert not default
