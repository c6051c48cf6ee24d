"""What-if questions from the shell: what they print and write, and the input that they refuse."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from lab.cli.tools import main
from lab.reporting.plotting import canvas as figures
from lab.run_cache import jobs as grid
from lab.what_if import sensitivity
from lab.what_if.question import Varied, varied
from lab.what_if.runs import Runs
from lab.what_if.sensitivity import FACTORS


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
        pytest.param("live_video_chat", 0.16, "125 s", marks=pytest.mark.slow),
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
