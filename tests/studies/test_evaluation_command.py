"""The command ``python -m studies``: what it refuses, and what it says where runs fail."""

import pytest

from lab.cli.tools import main as tools
from lab.run_cache.jobs import RunError
from studies import steps as command
from studies.__main__ import main
from studies.registry import STUDIES, chosen


@pytest.mark.parametrize("name", ["profiling", "surrogates", "all"])
def test_planners_are_refused_where_an_experiment_has_its_own(name, capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "make", lambda *_: pytest.fail("something was run"))
    assert main([name, "--planners", "compass,vulcan"]) == 2
    first = "profiling" if name == "profiling" else "paper/fig"
    said = capsys.readouterr().err
    assert said.startswith(f"studies: --planners compass,vulcan: the planners of {first}")
    assert said.endswith(" are fixed; leave out --planners, or name another study\n")


def test_a_planner_that_does_not_have_a_limit_is_refused_in_one_sentence(capsys, tmp_path) -> None:
    words = ["profiling_limits", "--planners", "compass,compass_cost", "--quick", "--seeds", "1"]
    assert main([*words, "--cache", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("studies: planner.samples=25: there is no key planner.samples")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RunError("3 runs failed, first x: y"), 1, "3 runs failed, first x: y"),
        (KeyboardInterrupt("runs are kept"), 130, "interrupted: runs are kept"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_that_ends_the_runs_is_one_sentence(
    error, status, said, capsys, monkeypatch
) -> None:
    def make(*_):
        raise error

    monkeypatch.setattr(command, "make", make)
    assert main(["surrogates", "--seeds", "1"]) == status
    assert capsys.readouterr().err == f"studies: {said}\n"


@pytest.mark.parametrize("jobs", ["0", "-3"])
@pytest.mark.parametrize(
    "words",
    [
        ["capacity", "--vary", "horizon_s=20", "--at-least", "0"],
        ["sensitivity", "planner=greedy"],
        ["reproduce", "19", "--quick"],
    ],
)
def test_no_runs_at_a_time_are_refused(words, jobs, capsys, tmp_path) -> None:
    assert tools([*words, "--jobs", jobs, "--out", str(tmp_path / "out")]) == 2
    said = f"compass-lab: --jobs {jobs}: must be 1 or more; the default is one per core\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("jobs", ["0", "-3"])
def test_no_runs_at_a_time_are_refused_by_the_studies_too(jobs, capsys) -> None:
    assert main(["headline", "--jobs", jobs]) == 2
    said = f"studies: --jobs {jobs}: must be 1 or more; the default is one per core\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["14a"], ["ablations"]),
        (["12", "cost", "11"], ["cost"]),
        (["21", "2"], ["users", "goodput"]),
        (["headline"], ["goodput", "cost"]),
        (["all"], list(STUDIES)),
    ],
)
def test_studies_are_chosen_by_name_or_by_figure(words, names) -> None:
    assert chosen(words) == names


@pytest.mark.parametrize("word", ["22", "profiling_limits"])
def test_only_figures_are_reproduced(word, capsys, tmp_path) -> None:
    assert tools(["reproduce", word, "--out", str(tmp_path)]) == 2
    said = f"compass-lab: FIGURE={word}: there is no such figure; choose one of 2, 4, 8, 10, 11"
    assert capsys.readouterr().err.startswith(said)


def test_both_commands_make_the_same_runs(monkeypatch, tmp_path) -> None:
    asked = []

    def make(jobs, *_):
        asked.append([(job.overrides, job.seed, job.measure, dict(job.labels)) for job in jobs])
        raise RunError("nothing is run")

    monkeypatch.setattr("studies.steps.make", make)
    monkeypatch.setattr("lab.run_cache.jobs.make", make)
    words = ["--quick", "--seeds", "3"]
    assert main(["drift", *words]) == 1
    assert tools(["reproduce", "17", *words, "--out", str(tmp_path)]) == 1
    assert asked[0] == asked[1] == asked[2]
