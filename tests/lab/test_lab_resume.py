"""A run that was killed goes on, and ends as if nothing had happened."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import changed, sentence_of
from frail import frail, killed, tables

from lab import run
from lab.common.errors import InputError
from lab.runs.resume import Checkpoint, check_versions, clear
from lab.runs.run_directory import (
    CHECKPOINT,
    CONFIG,
    LOCK,
    SUMMARY,
    TakenError,
    held,
    never_ran,
    planner_directories,
    write_summary,
)
from lab.version import versions
from sim.planning.profiling_bench import ProfilingBench
from sim.planning.profiling_log import ProfileRecord

KEYS = ("horizon_s=60", "flush_every_s=20", "workload.rate=0.1", "figures=false", "seed=1")
ALONE = "planner._target_=frail_pkg.Frail"


@pytest.fixture
def compass(compass_sim):
    """Return a function that runs the command in a directory with a frail planner."""
    Path("frail_pkg.py").write_text(frail("CheapestFeasible", pause_at=5))
    return lambda *words: compass_sim(*changed(KEYS, words))


@pytest.fixture
def here(compass, tmp_path_factory):
    """Return a function that makes a run in ``here``, or copies it, if a test made it before."""

    def make(kept: str, status: int, *arguments: str) -> None:
        directory = tmp_path_factory.getbasetemp() / f"resume_{kept}"
        if directory.exists():
            shutil.copytree(directory, "here")
            return
        assert compass(*arguments, "hydra.run.dir=here")[0] == status
        shutil.copytree("here", directory)

    return make


@pytest.fixture
def broken(here):
    """Leave a run that broke off in ``here``."""
    Path("stop").touch()
    here("broken", 130, ALONE)
    Path("stop").unlink()


@pytest.fixture
def finished(here):
    """Leave a finished run in ``here``, and return its overrides."""
    here("finished", 0, "planner=greedy", "horizon_s=20")
    return "planner=greedy", "horizon_s=20", "hydra.run.dir=here"


def summary(directory: str) -> dict:
    return json.loads(Path(directory, SUMMARY).read_text())


def saved(directory: str) -> list[ProfileRecord]:
    """Return the records of a checkpoint's whole lines."""
    lines = Path(directory, CHECKPOINT).read_bytes().split(b"\n")
    return [ProfileRecord.from_line(line) for line in lines[1:-1]]


@pytest.fixture
def observed(monkeypatch):
    """Return a list of all that is truly measured from now on."""
    seen = []
    observe = ProfilingBench._observe

    def note(bench, configuration, items):
        seen.append((configuration.index, items.tolist()))
        return observe(bench, configuration, items)

    monkeypatch.setattr(ProfilingBench, "_observe", note)
    return seen


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_uninterrupted(compass, observed, tmp_path):
    long = (*changed(KEYS, ["horizon_s=120"]), ALONE)
    assert compass(*long, "hydra.run.dir=whole")[0] == 0
    whole = len(observed)
    assert whole == summary("whole")["profiles_measured"] > 30
    assert summary("whole")["profiles_restored"] == 0
    everything = observed.copy()
    before: list[ProfileRecord] = []
    for after in (8, 60):  # in the first search, and in a later one after results were written
        more = ["resume=true"] if before else []
        killed(tmp_path, after, *long, "hydra.run.dir=here", *more)
        now = saved("here")
        assert len(now) > len(before), "nothing that was saved is lost, and more is"
        assert [one.line() for one in now[: len(before)]] == [one.line() for one in before]
        before = now
    with Path("here", CHECKPOINT).open("ab") as file:
        file.write(before[0].line()[:100])  # as a process leaves it that is killed while it writes
    assert list(Path("here/windows").iterdir())
    observed.clear()
    status, _, err = compass(*long, "hydra.run.dir=here", "resume=true")
    assert (status, err) == (0, "")
    assert tables(Path("here")) == tables(Path("whole"))
    ended = summary("here")
    assert ended["profiles_restored"] == len(before)
    assert ended["profiles_measured"] == len(observed) == whole - len(before)
    restored = [(record.configuration, record.items.tolist()) for record in before]
    assert restored + observed == everything, "none of what was saved was measured anew"
    unlike = {"wall_s", "planning_wall_s", "bound_wall_s", "profiles_restored", "profiles_measured"}
    expected = summary("whole")
    assert {key for key in ended if ended[key] != expected[key]} <= unlike


def test_a_finished_run_is_not_run_again(compass, observed):
    assert compass(ALONE, "hydra.run.dir=here")[0] == 0
    assert not Path("here", CHECKPOINT).exists()
    before = {path: path.stat().st_mtime_ns for path in Path("here").rglob("*")}
    observed.clear()
    status, out, err = compass(ALONE, "hydra.run.dir=here", "resume=true")
    assert (status, err) == (0, "")
    assert out == "nothing to do: all runs in here have finished\n"
    assert {path: path.stat().st_mtime_ns for path in Path("here").rglob("*")} == before
    assert observed == []


def test_a_comparison_goes_on_with_the_planner_that_was_under_way(compass):
    compared = (
        "planner=comparison",
        "~planner.compare.videostorm",
        "~planner.compare.compass",
        "+planner.compare.frail={_target_: frail_pkg.Frail}",
        "hydra.run.dir=here",
    )
    Path("stop").touch()
    assert compass(*compared)[0] == 130
    Path("stop").unlink()
    first = Path("here/cheapest_feasible")
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    assert summary("here/frail")["status"] == "interrupted"
    status, _, err = compass(*compared, "resume=true")
    assert (status, err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert list(summary("here")) == ["cheapest_feasible", "frail"]
    assert {one["status"] for one in summary("here").values()} == {"finished"}
    assert summary("here/frail")["profiles_restored"] == 1
    theirs, ours = tables(first), tables(Path("here/frail"))
    assert theirs.pop(CONFIG) != ours.pop(CONFIG)
    assert theirs == ours


def test_a_sweep_goes_on_and_runs_what_never_ran(compass):
    sweep = ("-m", ALONE, "hydra.sweep.dir=sweep")
    assert compass(*sweep, "horizon_s=20")[0] == 0
    before = Path("sweep/0/summary.json").read_bytes()
    status, out, err = compass(*sweep, "horizon_s=20,30", "resume=true")
    assert (status, err) == (0, "")
    assert out.count("nothing to do") == 1
    assert Path("sweep/0/summary.json").read_bytes() == before
    assert summary("sweep/1")["status"] == "finished"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["seed=2"],
            "has a run of another configuration: seed is 1 there and 2 here; resume with the "
            "same overrides",
        ),
        pytest.param(
            ["cluster.nodes.cloud.count=3"],
            "has a run of another configuration: cluster.nodes.cloud.count is 2 there and 3 "
            "here; resume with the same overrides",
            marks=pytest.mark.slow,
        ),
        (
            ["+planner.samples=7"],
            "has a run of another configuration: planner.samples is not set there and 7 here; "
            "resume with the same overrides",
        ),
        (
            [],
            "is unfinished and has no checkpoint.jsonl to resume from; delete {where}, and repeat "
            "the run",
        ),
    ],
)
@pytest.mark.usefixtures("broken")
def test_what_cannot_be_resumed_is_refused_in_one_sentence(compass, overrides, sentence):
    if not overrides:
        Path("here", CHECKPOINT).unlink()
    before = tables(Path("here"))
    status, _, err = compass(ALONE, "hydra.run.dir=here", "resume=true", *overrides)
    where = Path("here").absolute()
    said = sentence.format(where=where)
    assert (status, err) == (2, f"compass-sim: hydra.run.dir={where}: {said}\n")
    assert tables(Path("here")) == before


def test_a_run_of_another_version_is_not_gone_on_with(compass, finished):
    assert summary("here")["versions"] == versions()
    again = (*finished, "resume=true")
    write_summary(Path("here"), summary("here") | {"versions": versions() | {"numpy": "1.0"}})
    before = tables(Path("here"))
    status, out, err = compass(*again)
    numpy = versions()["numpy"]
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"here: cannot be resumed: another version wrote it (numpy 1.0, not {numpy})" in err
    assert tables(Path("here")) == before


def test_a_run_of_another_behaviour_is_made_again(compass, finished):
    again = (*finished, "resume=true")
    written = summary("here")
    before = {key: written[key] for key in written if key != "behaviour"}
    for stale, told in ((before, "before"), (before | {"behaviour": {"world": 0}}, "world 0")):
        write_summary(Path("here"), stale | {"queries": -1})
        status, out, err = compass(*again)
        assert (status, err) == (0, "")
        assert f"its behaviour was {told}" in out
        assert summary("here")["queries"] == written["queries"]
    assert "nothing to do" in compass(*again)[1]


@pytest.mark.usefixtures("finished")
def test_a_comparison_of_another_version_may_have_a_planner_named_status():
    other = summary("here") | {"versions": versions() | {"numpy": "1.0"}}
    write_summary(Path("here"), {"status": other})
    with pytest.raises(TakenError, match="another version wrote it"):
        check_versions("here", Path("here"))


@pytest.mark.usefixtures("broken")
def test_an_unfinished_run_of_other_kernels_is_not_gone_on_with(compass):
    ours = versions()["blas"]
    write_summary(Path("here"), summary("here") | {"versions": versions() | {"blas": "Z80"}})
    before = tables(Path("here"))
    err = sentence_of(compass(ALONE, "hydra.run.dir=here", "resume=true"))
    sentence = f"another processor wrote it (blas Z80, not {ours}); start again\n"
    assert err.endswith(f"here: cannot be resumed: {sentence}")
    assert tables(Path("here")) == before


def test_a_finished_run_of_other_kernels_is_kept(compass, finished):
    write_summary(Path("here"), summary("here") | {"versions": versions() | {"blas": "Z80"}})
    status, out, err = compass(*finished, "resume=true")
    assert (status, err) == (0, "")
    assert "nothing to do" in out


def test_a_run_that_names_classes_by_earlier_paths_is_gone_on_with(compass, finished):
    written = Path("here", CONFIG).read_text(encoding="utf-8")
    earlier = written.replace("planners.reference.greedy.", "planners.greedy.")
    earlier = earlier.replace("  accelerators: null\n", "")
    assert len(earlier.splitlines()) == len(written.splitlines()) - 1
    Path("here", CONFIG).write_text(earlier, encoding="utf-8")
    status, out, err = compass(*finished, "resume=true")
    assert (status, err) == (0, "")
    assert "nothing to do" in out


@pytest.mark.slow
def test_a_sweep_of_another_version_is_refused_before_anything_runs(compass):
    sweep = ("-m", "planner=greedy", "horizon_s=20", "hydra.sweep.dir=sweep")
    assert compass(*sweep, "seed=0")[0] == 0
    other = summary("sweep/0") | {"versions": versions() | {"compass-sim": "0.0"}}
    write_summary(Path("sweep/0"), other)
    err = sentence_of(compass(*sweep, "seed=0,1", "resume=true"))
    assert "sweep, job 0: cannot be resumed: another version wrote it (compass-sim 0.0" in err
    assert sorted(path.name for path in Path("sweep").iterdir()) == ["0", "jobs.yaml"]


def test_where_nothing_ran_there_is_nothing_to_resume(compass):
    err = sentence_of(compass(ALONE, "hydra.run.dir=nowhere", "resume=true"))
    assert err.endswith("nowhere: has no run to resume; omit resume=true to start one\n")
    assert not Path("nowhere").exists()


@pytest.mark.usefixtures("broken")
def test_a_directory_to_go_on_in_is_not_written_over(compass):
    before = tables(Path("here"))
    err = sentence_of(compass(ALONE, "hydra.run.dir=here"))
    assert "has an unfinished run; add resume=true to resume it" in err
    assert tables(Path("here")) == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"compass-sim": "0.0"}\n', "line 1: .* another version wrote it"),
        ("[]\n", "line 1: .* another version wrote it"),
        ('{"compass-sim": "VERSION", "blas": "Z80"}\n', "line 1: .* another processor wrote it"),
        ("nonsense\n", "line 1: "),
        ('HEADER{"owner": ["query", 1]}\n', "line 2: .*no record of a profiling run"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, text, sentence):
    Checkpoint(tmp_path, resume=False).close()
    header = (tmp_path / CHECKPOINT).read_text()
    (tmp_path / CHECKPOINT).write_text(
        text.replace("HEADER", header).replace("VERSION", versions()["compass-sim"])
    )
    with pytest.raises(InputError, match=sentence):
        Checkpoint(tmp_path, resume=True)
    Checkpoint(tmp_path, resume=False).close()
    assert (tmp_path / CHECKPOINT).read_text() == header


def test_a_directory_that_another_process_writes_into_is_refused(compass):
    Path("run").mkdir()
    with held(Path("run")):
        for more in ([], ["resume=true"]):
            err = sentence_of(compass(ALONE, "hydra.run.dir=run", *more))
            assert "hydra.run.dir=" in err
            assert "another process is writing to it" in err
    assert not any(Path("run").iterdir())
    with (
        held(Path("run")),
        pytest.raises(InputError, match="directory=run: another process is writing to it"),
    ):
        run(["experiment=speech_small", "horizon_s=20"], directory="run")


def test_a_lock_leaves_no_file_and_takes_over_that_of_a_killed_process(tmp_path):
    (tmp_path / LOCK).touch()
    with held(tmp_path, "taken"):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        with pytest.raises(InputError, match="taken"), held(tmp_path, "taken"):
            pass
    assert not any(tmp_path.iterdir())


def test_a_summary_that_was_cut_off_is_of_a_run_that_did_not_finish(compass, finished):
    summary = Path("here") / SUMMARY
    summary.write_text(summary.read_text()[:100])
    assert "cannot be read as JSON; delete " in sentence_of(compass(*finished, "resume=true"))


def test_clearing_a_broken_run_keeps_only_checkpoint_and_configuration(tmp_path):
    for name in (CHECKPOINT, CONFIG, SUMMARY, "trace.json", "report/report.html", "windows/part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, CONFIG]


def test_a_configuration_that_is_no_yaml_is_told_of_in_a_sentence(tmp_path):
    (tmp_path / CONFIG).write_text("planner: [1,2\n: :")
    with pytest.raises(InputError, match=f"{CONFIG}: cannot be read: ") as caught:
        never_ran(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("finished")
def test_a_kill_while_an_old_run_is_removed_leaves_no_summary_without_tables(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: pytest.fail("the tables went"))
        with pytest.raises(pytest.fail.Exception):
            clear(Path("here"))
    assert not planner_directories(Path("here"))
