"""The leaderboard of a class: its files, what is kept, scores, ranks, and what the class sees."""

import json
import re
import shutil
from dataclasses import asdict
from functools import cache

import numpy as np
import polars as pl
import pytest

from lab import run
from lab.cli.tools import main
from lab.leaderboard import submissions
from lab.leaderboard.board import complaints, page
from lab.leaderboard.instructions import Instructions, read_instructions
from lab.leaderboard.one_run import RECORD, TABLES, Record
from lab.leaderboard.ranking import COLUMNS, Scored, ranking
from lab.leaderboard.runs import ABOUT
from lab.leaderboard.scores import score
from lab.leaderboard.submissions import find_submissions
from planners import CheapestFeasible

SEEDS = [1201, 1342, 1571]
REGIMES = {
    "calm": ["experiment=speech_small", "horizon_s=20"],
    "rush": ["experiment=speech_small", "horizon_s=20", "workload.rate=0.4"],
}
OWN = """
from planners import CheapestFeasible
class Own(CheapestFeasible):
    pass
"""


packages = cache(submissions.packages_distributions)


@pytest.fixture(autouse=True)
def listed_once(monkeypatch):
    """List the installed packages once; that takes longest of all that a command does."""
    monkeypatch.setattr(submissions, "packages_distributions", packages)


def written(directory, names=("alice",), **keys):
    """Write the directory of a class; JSON is YAML, too."""
    given = {"regimes": REGIMES, "seeds": SEEDS, **keys}
    (directory / "leaderboard.yaml").write_text(json.dumps(given))
    (directory / "submissions").mkdir(exist_ok=True)
    for name in names:
        (directory / "submissions" / f"{name}.py").write_text(OWN)
    return directory


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"seed": [901, 902]}, "seed: no such key; choose one of regimes, seeds, metric, "),
        ({"seeds": [901]}, "seeds=[901]: must have at least 2 items"),
        ({"seeds": [901, 901]}, "seeds: name 901 once only"),
        ({"seeds": [901, -1]}, "seeds.1=-1: must be greater than or equal to 0"),
        ({"seeds": [901, "x"]}, "seeds.1=x: must be a valid integer"),
        ({"regimes": {}}, "regimes={}: must have at least 1 item"),
        ({"regimes": {"a b": ["seed=1"]}}, "regimes.a b: must be a name of letters"),
        ({"regimes": {"low": ["horizon_s=60"]}}, "low: has the name of a column of the board"),
        ({"regimes": {"calm": {"horizon_s": 60}}}, "regimes.calm={'horizon_s': 60}: must be a"),
        (
            {"regimes": {"calm": ["horizon=60"]}},
            "regimes.calm: horizon=60: there is no key horizon",
        ),
        (
            {"regimes": {"calm": ["horizon_s=-1"]}},
            "regimes.calm: horizon_s=-1: must be 1 s or more",
        ),
        ({"regimes": {"calm": ["seed=7"]}}, "calm: seed=7: the leaderboard sets this key itself"),
        ({"regimes": {"calm": ["+planner.x=7"]}}, "+planner.x=7: the leaderboard sets this key"),
        ({"limits": {"run_s": -5}}, "limits.run_s=-5: must be greater than 0"),
        ({"limits": {"run": 5}}, "limits.run: no such key; choose one of start_s, call_s, run_s, "),
        ({"limits": None}, "limits=None: must be a mapping"),
        ({"metric": "goodput"}, "metric=goodput: must be 'service_goodput_mean', "),
        ({"baselines": ["gredy"]}, "baselines: there is no planner gredy; choose one of "),
        ({"baselines": ["greedy"] * 2}, "baselines: name greedy once only"),
        ({"baselines": ["ilp"]}, "baselines: ilp sees the truth, so that it is no baseline"),
    ],
)
def test_wrong_instructions_are_refused_before_any_run(keys, said, tmp_path, refused):
    err = refused("leaderboard", written(tmp_path, **keys))
    assert err.startswith(f"compass-lab: {tmp_path}/leaderboard.yaml: ")
    assert said in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"regimes: [", "cannot be read: did not find expected node content in line"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec can't decode"),
        (b"only text", "must be a mapping with regimes, seeds, metric, baselines, limits"),
        (b"seeds: [901, 902]\nseeds: [903, 904]", "has the key seeds twice"),
        (b"regimes: {a: [x=1], a: [x=2]}", "has the key a twice"),
        (b"seeds: [010, 902]", "line 1: 010: YAML takes this for a number of base 8"),
        (None, "no such file; it names regimes and seeds"),
    ],
)
def test_a_damaged_file_of_instructions_is_refused(text, said, tmp_path, refused):
    file = written(tmp_path) / "leaderboard.yaml"
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    assert said in refused("leaderboard", tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.txt", "is no submission; a submission is NAME.py, NAME.yaml, or a directory NAME"),
        ("alice.yaml", "has the same name as alice.py; choose another name"),
        ("random.py", "has the name of an installed module or package"),
        ("numpy.py", "has the name of an installed module or package"),
        ("my-own.py", "must have a name of letters, digits and _"),
        ("cheapest_feasible.py", "has the name of a baseline; choose another name"),
    ],
)
def test_submissions_with_wrong_names_are_refused(name, said, tmp_path, refused):
    (written(tmp_path) / "submissions" / name).write_text(OWN)
    assert said in refused("leaderboard", tmp_path)


def test_a_class_without_submissions_is_refused(tmp_path, refused):
    assert "no such directory; it has leaderboard.yaml" in refused("leaderboard", tmp_path / "none")
    written(tmp_path, names=())
    assert "has no submission; a submission is NAME.py" in refused("leaderboard", tmp_path)
    shutil.rmtree(tmp_path / "submissions")
    assert "submissions: no such directory" in refused("leaderboard", tmp_path)


def test_what_belongs_to_a_submission(tmp_path):
    package = tmp_path / "submissions" / "pack"
    (package / "inner").mkdir(parents=True)
    (package / "__pycache__").mkdir()
    for name in ("__init__.py", "inner/code.py", "__pycache__/code.pyc", ".notes"):
        (package / name).write_text(name)
    [found] = find_submissions(tmp_path, ())
    assert [str(each.relative_to(package)) for each in found.files] == [
        "__init__.py",
        "inner/code.py",
    ]
    before = found.digest
    (package / ".notes").write_text("more")
    assert find_submissions(tmp_path, ())[0].digest == before
    (package / "inner" / "code.py").write_text("more")
    assert find_submissions(tmp_path, ())[0].digest != before


def test_a_link_of_a_submission_is_not_followed(tmp_path):
    (written(tmp_path) / "submissions" / "bob").mkdir()
    (tmp_path / "submissions" / "bob" / "__init__.py").write_text(OWN)
    (tmp_path / "submissions" / "bob" / "data").symlink_to(tmp_path / "leaderboard.yaml")
    alice, bob = find_submissions(tmp_path, ())
    assert alice.problem is None
    assert bob.problem == "it has a link, which could lead to files of others"


# Scores and ranks


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run with goodput, and its directory."""
    place = tmp_path_factory.mktemp("scored")
    given = ["experiment=speech_small", "switching=free", "horizon_s=120", "warm_up_s=20"]
    made = run([*given, "seed=1201", "workload.rate=0.1"], CheapestFeasible(5), place / TABLES)
    assert made.summary["service_goodput_mean"] > 0
    return made, place


@pytest.mark.parametrize("metric", ["service_goodput_mean", "slo_met_fraction", "goodput_per_usd"])
def test_scores_follow_from_the_tables(metric, result):
    made, place = result
    assert score(place, metric) == pytest.approx(made.summary[metric], rel=1e-12)


def test_a_forged_summary_changes_no_score(result, tmp_path):
    place = shutil.copytree(result[1], tmp_path / "forged")
    summary = json.loads((place / TABLES / "summary.json").read_text())
    summary["service_goodput_mean"] = 1000.0
    (place / TABLES / "summary.json").write_text(json.dumps(summary))
    before = score(result[1], "service_goodput_mean")
    assert score(place, "service_goodput_mean") == before


def scored(**scores):
    """Return the runs of planners in one regime, given their scores by seed."""
    return [
        Scored(planner, "calm", seed, each)
        for planner, theirs in scores.items()
        for seed, each in enumerate(theirs)
    ]


def ranks(runs, **others):
    board = ranking(
        runs, "service_goodput_mean", dict.fromkeys({one.planner for one in runs}, True)
    )
    return dict(board.select("planner", "rank").iter_rows())


def test_only_planners_that_are_surely_better_come_first():
    noise = np.random.default_rng(901).normal(0, 0.05, (4, 10))
    found = ranks(
        scored(best=3 + noise[0], good=2 + noise[1], alike=2 + noise[2], worst=1 + noise[3])
    )
    assert found == {"best": 1, "good": 2, "alike": 2, "worst": 4}


def test_ranks_are_paired_over_seeds():
    seeds = np.random.default_rng(902).normal(5, 3, 10)  # They differ more than the planners do.
    steps = np.linspace(0.09, 0.11, 10)
    assert ranks(scored(one=seeds, better=seeds + steps)) == {"better": 1, "one": 2}


def test_equal_planners_and_two_seeds_share_a_rank():
    assert ranks(scored(one=[1.0, 2.0], same=[1.0, 2.0], none=[0.0, 0.1])) == {
        "one": 1,
        "same": 1,
        "none": 1,
    }


def test_scores_that_vary_much_are_no_advantage():
    steps = np.linspace(0, 0.1, 6)
    varying = [0.0, 0, 10, 10, 0, 10]  # From its mean, 5, that of nobody differs surely.
    assert ranks(scored(varying=varying, steady=6 + steps, best=7 + steps**2)) == {
        "best": 1,
        "steady": 2,
        "varying": 2,
    }


def test_columns_of_the_board_are_known():
    board = ranking(scored(one=[1.0, 2.0]), "service_goodput_mean", {"one": True})
    assert sorted(board.columns) == sorted((*COLUMNS, "calm"))


def test_a_score_is_the_mean_over_regimes_for_each_seed():
    runs = [
        Scored("one", regime, seed, value, failure)
        for seed in range(3)
        for regime, value, failure in (("calm", 1.0, None), ("rush", 0.0, "it crashed"))
    ]
    runs += [Scored("two", each.regime, each.seed, 0.25, None, 2, "no") for each in runs]
    board = ranking(runs, "service_goodput_mean", {"one": True, "two": False})
    [first, second] = board.iter_rows(named=True)
    assert (first["planner"], first["mean"], first["calm"], first["rush"]) == ("one", 0.5, 1.0, 0.0)
    assert (first["failed"], first["runs"], first["errors"]) == (3, 6, 0)
    assert (second["submitted"], second["errors"]) == (False, 12)


# The command


@pytest.fixture
def faked(monkeypatch, result):
    """Let runs be copies of one run; return a list of those that are made."""
    names = []

    def made(missing, limits, processes):
        for each in missing:
            failure = "it crashed" if each.entry.name == "crash" else None
            shutil.rmtree(each.directory, ignore_errors=True)
            shutil.copytree(result[1] / TABLES, each.directory / TABLES)
            (each.directory / ABOUT).write_text(json.dumps({"limits": limits.model_dump()}))
            record = Record(failure)
            (each.directory / RECORD).write_text(json.dumps(asdict(record)))
            names.append(each.entry.name)
            yield each, record, 1.0

    monkeypatch.setattr("lab.cli.leaderboard.made", made)
    monkeypatch.setattr("lab.cli.leaderboard.unconfined", lambda *_: [])
    return names


def test_finished_runs_are_kept_and_only_changed_submissions_run_again(tmp_path, faked, capsys):
    calm = {"calm": REGIMES["calm"]}
    written(tmp_path, ("alice", "bob"), regimes=calm)
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert sorted(faked) == sorted(["alice", "bob", "cheapest_feasible"] * 3)
    assert faked[0] == "cheapest_feasible"
    faked.clear()
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert faked == []
    (tmp_path / "submissions" / "bob.py").write_text(f"{OWN}    samples = 3\n")
    shutil.rmtree(next((tmp_path / "runs" / "alice").iterdir()))
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert sorted(faked) == ["alice", *["bob"] * 3]
    faked.clear()
    written(tmp_path, ("carol",), regimes=calm, seeds=[*SEEDS, 1999])
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert sorted(faked) == ["alice", "bob", *["carol"] * 4, "cheapest_feasible"]


def test_failed_runs_are_repeated_under_other_limits_only(tmp_path, faked, capsys):
    written(tmp_path, ("alice", "crash"), regimes={"calm": REGIMES["calm"]}, baselines=[])
    assert main(["leaderboard", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "crash: 3 of 3 runs failed, the first in regime calm: it crashed" in out
    assert re.search(r"crash .* 0 +│ \[0, 0\] .* 3 of 3", out)
    faked.clear()
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert faked == []
    new = {"regimes": {"calm": REGIMES["calm"]}, "baselines": [], "limits": {"run_s": 700}}
    written(tmp_path, **new)
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert faked == ["crash"] * 3


@pytest.mark.parametrize("name", [ABOUT, pytest.param(RECORD, marks=pytest.mark.slow)])
def test_a_run_with_a_damaged_record_is_repeated(name, tmp_path, faked, capsys):
    written(tmp_path, ("crash",), regimes={"calm": REGIMES["calm"]}, baselines=[])
    assert main(["leaderboard", str(tmp_path)]) == 0
    record = next((tmp_path / "runs" / "crash").iterdir()) / name
    intact = record.read_text()
    for text in ("[]", "7", "{}", "no JSON"):
        faked.clear()
        record.write_text(text)
        assert main(["leaderboard", str(tmp_path)]) == 0
        assert faked == ["crash"], text
        assert record.read_text() == intact


def test_a_run_with_damaged_tables_is_named(tmp_path, faked, capsys):
    written(tmp_path, baselines=[])
    assert main(["leaderboard", str(tmp_path)]) == 0
    place = next((tmp_path / "runs" / "alice").iterdir())
    (place / TABLES / "windows" / "part-00000.parquet").write_bytes(b"no table")
    capsys.readouterr()
    assert main(["leaderboard", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert f"{place}: its tables cannot be read" in err
    assert "delete it, and the same command repeats the run" in err


def test_the_class_sees_neither_seeds_nor_overrides_nor_what_planners_said(tmp_path, faked, capsys):
    written(tmp_path, ("alice", "crash"))
    assert main(["leaderboard", str(tmp_path)]) == 0
    published = (tmp_path / "board" / "leaderboard.html").read_text()
    table = pl.read_parquet(tmp_path / "board" / "leaderboard.parquet")
    for text in (published, str(table.to_dicts())):
        for hidden in (*map(str, SEEDS), "workload", "speech_small", "it crashed"):
            assert hidden not in text
        for shown in ("calm", "rush", "alice", "crash", "cheapest_feasible"):
            assert shown in text
    assert "3 hidden seeds" in published
    assert {each.name for each in (tmp_path / "board").iterdir()} == {
        "leaderboard.html",
        "leaderboard.parquet",
    }


def test_names_in_the_page_are_escaped():
    instructions = Instructions(regimes={"<b>": ["horizon_s=20"]}, seeds=SEEDS)
    runs = [Scored("alice", "<b>", seed, 1.0) for seed in SEEDS]
    shown = page(ranking(runs, instructions.metric, {"alice": True}), instructions)
    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown


def test_errors_of_planners_are_for_the_instructor():
    runs = [
        Scored("alice", "calm", 1, 1.0, None, 2, "ValueError in alice.py:3: no"),
        Scored("alice", "rush", 1, 1.0, None, 1, "another"),
        Scored("bob", "calm", 1, 1.0),
    ]
    assert list(complaints(runs)) == [
        "alice: raised 3 errors, the first in regime calm: ValueError in alice.py:3: no"
    ]


def test_small_seeds_are_warned_of(tmp_path, faked, capsys):
    written(tmp_path)
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert "a submission can find small seeds by trying" in capsys.readouterr().err
    written(tmp_path, seeds=[10**13 + 1, 10**14])
    assert not read_instructions(tmp_path / "leaderboard.yaml").guessable
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert "by trying" not in capsys.readouterr().err


def test_what_a_machine_cannot_prevent_is_warned_of(tmp_path, faked, monkeypatch, capsys):
    monkeypatch.setattr("lab.cli.leaderboard.unconfined", lambda *_: ["connect to others"])
    assert main(["leaderboard", str(written(tmp_path))]) == 0
    err = capsys.readouterr().err
    assert "warning: on this machine, submissions can connect to others; run this in a" in err
