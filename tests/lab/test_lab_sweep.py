"""Sweeps: the same results from every launcher, stopped or not; one sentence on what is wrong."""

import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from command_line import changed, sentence_of
from joblib.externals.loky import get_reusable_executor
from rich.console import Console
from yaml import safe_load

from lab.common import console
from lab.common.console import complain
from lab.common.errors import InputError
from lab.runs.run_directory import CHECKPOINT, ERROR, JOBS, SUMMARY, held
from lab.sweeps.progress import progress_shown, run_and_report
from lab.sweeps.sweep import with_new_overrides
from scenarios.applications import keyed_tables
from sim.planning.guard import end_process

SHORT = ("experiment=speech_small", "horizon_s=20", "flush_every_s=10", "figures=false")
SWEEP = (*SHORT, "planner=cheapest_feasible,greedy", "seed=0,1")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
CODE = "import sys; from lab.cli.simulate import main; sys.exit(main())"
OF_THE_WALL = (
    "wall_s",
    "planning_wall_s",
    "bound_wall_s",
    "profiles_measured",
    "profiles_restored",
)
MOODY = """
from pathlib import Path
from planners import CheapestFeasible
class Moody(CheapestFeasible):
    def plan(self, context):
        if Path("mood").exists():
            raise RuntimeError("not today")
        super().plan(context)
"""


def process(*arguments: str, **more: str) -> subprocess.Popen:
    """Start the command in a process, and session, of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "-m", *arguments],
        env=os.environ | {"PYTHONHASHSEED": "random"} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def results(directory: str) -> dict[str, object]:
    """Return every file of a sweep by its path: its bytes, or a summary without wall times."""
    found: dict[str, object] = {}
    for path in sorted(Path(directory).rglob("*")):
        if path.is_dir():
            found[str(path.relative_to(directory))] = None
        elif path.name == SUMMARY:
            summary = json.loads(path.read_text())
            for one in (summary, *summary.values()):
                for key in OF_THE_WALL if isinstance(one, dict) else ():
                    one.pop(key, None)
            found[str(path.relative_to(directory))] = summary
        else:
            found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def kill(*arguments: str, after_s: float, directory: str) -> bool:
    """Start a sweep and kill it so long after its first results; return whether it still ran."""
    before = len(list(Path(directory).glob(f"*/{SUMMARY}")))
    started = process(*arguments)
    deadline = time.monotonic() + 120
    while started.poll() is None and time.monotonic() < deadline:
        if len(list(Path(directory).glob(f"*/{SUMMARY}"))) > before:
            break
        time.sleep(0.02)
    try:
        started.wait(after_s)
    except subprocess.TimeoutExpired:
        os.kill(started.pid, signal.SIGKILL)  # only that of the sweep: its workers are orphans
    started.communicate()
    return started.returncode == -signal.SIGKILL


def test_jobs_that_cannot_report_their_end_have_failed(compass_sim, monkeypatch):
    def full(path, _):
        raise OSError(errno.ENOSPC, "No space left", str(path))

    monkeypatch.setattr("lab.sweeps.progress.write_aside", full)
    status, out, err = compass_sim("-m", *SWEEP[:-1], "hydra.sweep.dir=here")
    assert status == 1
    assert out.count("goodput") == 2, "what they printed is shown"
    assert err.count("the sweep cannot be told how it ended: No space left: ") == 2
    assert "2 of 2 jobs failed: 0, 1" in err
    assert err.count("\n") == 3


@pytest.mark.slow
def test_joblib_gives_what_one_process_gives_byte_for_byte(compass_sim):
    jobs = (*SWEEP[:-1], "planner.samples=-1,20", "hydra.sweep.dir=")
    status, out, err = compass_sim("-m", *jobs[:-1], f"{jobs[-1]}alone")
    assert status == 1
    try:  # Workers are processes of their own, which start anew.
        status, theirs, complaints = compass_sim("-m", *jobs[:-1], f"{jobs[-1]}many", *JOBLIB)
    finally:
        get_reusable_executor().shutdown()
    assert status == 1
    assert sorted(complaints.splitlines()) == sorted(err.splitlines())
    assert "\x1b" not in theirs
    assert theirs.count("job ") == out.count("job ") == 2
    assert theirs.endswith("results: many\n")
    alone = results("alone")
    assert sum(path.endswith(ERROR) for path in alone) == 2
    assert sum(path.endswith(SUMMARY) for path in alone) == 2
    assert results("many") == alone


@pytest.mark.parametrize(
    ("swept", "complaint"),
    [("seed=range(3,0)", "has no value"), ("seed=0,1,0", "has the value 0 twice")],
)
def test_a_key_that_is_swept_over_nothing_or_one_value_twice_is_refused(
    compass_sim, swept, complaint
):
    status, out, err = compass_sim("-m", *SHORT, "planner=greedy", swept)
    assert (status, out, err) == (2, "", f"compass-sim: {swept}: {complaint}\n")
    assert not any(Path().iterdir())


def test_jobs_tell_alike_warnings_once_and_all_else_as_often_as_it_is(tmp_path, capsys):
    def task(label: str) -> int:
        console.warn(f"{label}it is late")
        console.warn(f"{label}of {label}")
        console.complain(f"{label}it failed")
        return 1

    with progress_shown(tmp_path) as statuses:
        for job, label in enumerate(("job 0 (seed=0): ", "job 1 (seed=1): ")):
            run_and_report(partial(task, label), tmp_path, job, label)
    assert statuses == {0: 1, 1: 1}
    err = capsys.readouterr().err
    assert err.count("it is late") == 1
    assert "compass-sim: warning: job 0 (seed=0): it is late\n" in err
    assert err.count("of job") == err.count("it failed") == 2


@pytest.mark.slow
def test_a_warning_that_every_run_has_is_told_once_a_sweep(compass_sim):
    drift = ("drift=device_slowdown", "drift.events.0.at_s=20")
    status, _, err = compass_sim(
        "-m", *changed(SHORT, ["planner=greedy", *drift, "horizon_s=10,20", "seed=0,1"])
    )
    said = "drift.events.0.at_s=20: this device_slowdown has no effect; the run ends at horizon_s="
    assert status == 0
    lines = err.splitlines()
    assert [line.count(said) for line in lines] == [1, 1]
    assert [line.rpartition("=")[2] for line in lines] == [
        "10 (shown once per sweep)",
        "20 (shown once per sweep)",
    ]
    assert lines[0].startswith("compass-sim: warning: job 0 (")


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_with_another_launcher(compass_sim):
    assert compass_sim("-m", *SWEEP, "hydra.sweep.dir=whole")[0] == 0
    assert kill(*SWEEP, *JOBLIB, "hydra.sweep.dir=here", after_s=0.0, directory="here")
    status, _, err = compass_sim("-m", *SWEEP, "hydra.sweep.dir=here", "resume=true")
    assert (status, err) == (0, "")
    assert results("here") == results("whole")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), JOBLIB], ids=["basic", "joblib"])
def test_killed_at_ten_random_moments_a_sweep_ends_as_if_uninterrupted(compass_sim, launcher):
    Path("slow_pkg.py").write_text(
        "import time\n"
        "from planners import CheapestFeasible\n"
        "class Slow(CheapestFeasible):\n"
        "    def plan(self, context):\n"
        "        time.sleep(0.1)\n"
        "        super().plan(context)\n"
    )
    slow = "+planner.compare.slow={_target_: slow_pkg.Slow}"
    jobs = (
        *("experiment=speech_small", "horizon_s=60", "flush_every_s=20", "planner=comparison"),
        *("~planner.compare.videostorm", "~planner.compare.compass", slow),
        *("seed=range(12)", *launcher),
    )
    assert process(*jobs, "hydra.sweep.dir=whole").communicate()[1] == ""
    moment = random.Random(6)
    kills = 0
    for attempt in range(40):
        more = ("hydra.sweep.dir=here", *(["resume=true"] if attempt else []))
        kills += kill(*jobs, *more, after_s=moment.uniform(0, 2), directory="here")
        if kills == 10:
            break
        if attempt % 3 == 2:  # Runs are fewer than kills: take some of what has finished away.
            for path in sorted(Path("here").glob("[0-9]*"))[:4]:
                shutil.rmtree(path)
    assert kills == 10
    finished = process(*jobs, "hydra.sweep.dir=here", "resume=true")
    assert finished.communicate()[1] == ""
    assert finished.returncode == 0
    assert results("here") == results("whole")


@pytest.mark.slow
def test_ray_gives_what_one_process_gives_byte_for_byte_on_several_nodes(compass_sim):
    pytest.importorskip("ray")
    cluster = pytest.importorskip("ray.cluster_utils")
    Path("moody_pkg.py").write_text(MOODY)
    jobs = (*SHORT, "planner._target_=moody_pkg.Moody,planners.Greedy", "seed=0,1,2")
    assert compass_sim("-m", *jobs, "hydra.sweep.dir=alone")[0] == 0
    nodes = cluster.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        started = process(
            *(*jobs, "hydra.sweep.dir=many", "hydra/launcher=ray"),
            f"hydra.launcher.ray.init.address={nodes.address}",
        )
        theirs, complaints = started.communicate()
    finally:
        nodes.shutdown()
    assert (started.returncode, complaints) == (0, "")
    assert theirs.count("job ") == 6
    assert results("many") == results("alone")


def test_a_job_that_ends_the_process_is_heard_and_no_job_closes_its_streams(
    tmp_path, monkeypatch, capsys
):
    heard = []

    def ends(status):
        heard.append((status, *capsys.readouterr()))
        raise KeyboardInterrupt

    def task():
        print("printed")
        sys.stdout.close()
        complain("cannot be stopped")
        end_process(1)

    monkeypatch.setattr("sim.planning.guard._exit", ends)
    with pytest.raises(KeyboardInterrupt), progress_shown(tmp_path, 1):
        run_and_report(task, tmp_path, 0, "job 0: ")
    assert heard == [(1, "printed\n", "compass-sim: cannot be stopped\n")]


def test_what_failed_leaves_its_error_and_runs_again(compass_sim):
    Path("moody_pkg.py").write_text(MOODY)
    jobs = (*SHORT, "planner._target_=moody_pkg.Moody,planners.Greedy", "hydra.sweep.dir=here")
    Path("mood").touch()
    status, _, err = compass_sim("-m", *jobs)
    assert status == 1
    assert "1 of 2 jobs failed: 0; each has an error.txt, and resume=true runs them again" in err
    assert "RuntimeError" in Path("here/0", ERROR).read_text()
    kept = {path: path.stat().st_mtime_ns for path in Path("here/1").rglob("*")}
    Path("mood").unlink()
    status, out, err = compass_sim("-m", *jobs, "resume=true")
    assert (status, err) == (0, "")
    assert out.count("nothing to do") == 1
    assert not Path("here/0", ERROR).exists()
    assert {path: path.stat().st_mtime_ns for path in Path("here/1").rglob("*")} == kept


@pytest.mark.slow
def test_a_sweep_says_which_job_is_where_and_may_be_extended(compass_sim):
    assert compass_sim("-m", *SHORT, "planner=greedy", "seed=3,4", "hydra.sweep.dir=here")[0] == 0
    jobs = safe_load(Path("here", JOBS).read_text())
    assert [job[-1] for job in jobs] == ["seed=3", "seed=4"]
    more = (*SHORT, "planner=greedy", "seed=3,4,5", "hydra.sweep.dir=here", "resume=true")
    status, out, _ = compass_sim("-m", *more)
    assert status == 0
    assert out.count("nothing to do") == 2
    assert safe_load(Path("here", JOBS).read_text())[:2] == jobs
    fewer = (*SHORT, "planner=greedy", "seed=3", "hydra.sweep.dir=here", "resume=true")
    assert compass_sim("-m", *fewer)[0] == 0
    assert len(safe_load(Path("here", JOBS).read_text())) == 3


@pytest.mark.slow
def test_another_sweep_is_not_written_over(compass_sim):
    jobs = (*SHORT, "planner=greedy", "hydra.sweep.dir=here")
    assert compass_sim("-m", *jobs, "seed=0,1")[0] == 0
    before = results("here")
    where = f"hydra.sweep.dir={Path('here').absolute()}: "
    other = f"{where}has another sweep: job "
    for overrides, sentence in (
        (["seed=0,1"], f"{where}already has a sweep; add resume=true to resume it, "),
        (["seed=0,2", "resume=true"], f"{other}1 had seed=1, not seed=2; resume with"),
        (
            ["seed=0,1", "workload.rate=0.2", "resume=true"],
            f"{other}0 did not have workload.rate=0.2; ",
        ),
    ):
        assert sentence in sentence_of(compass_sim("-m", *jobs, *overrides))
        assert results("here") == before


def test_a_run_and_a_sweep_are_not_written_into_one_another(compass_sim):
    job = (*SHORT, "planner=greedy", "seed=0")
    assert compass_sim(*job, "hydra.run.dir=run")[0] == 0
    assert compass_sim("-m", *job, "hydra.sweep.dir=sweep")[0] == 0
    before = files("run") | files("sweep")
    for words, sentence in (
        ((*job, "hydra.run.dir=sweep"), f"hydra.run.dir={Path('sweep').absolute()}: has a sweep"),
        (("-m", *job, "hydra.sweep.dir=run"), "has a single run or a comparison"),
        (("-m", *job, "hydra.sweep.dir=run", "resume=true"), "has a single run or a comparison"),
    ):
        assert sentence in sentence_of(compass_sim(*words))
        assert files("run") | files("sweep") == before
    Path("sweep", JOBS).unlink()  # A sweeper that makes up its jobs as it goes notes none.
    assert "has a sweep" in compass_sim(*job, "hydra.run.dir=sweep")[2]


def files(directory):
    """Return when each file of a directory was written."""
    return {path: path.stat().st_mtime_ns for path in Path(directory).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["hydra/launcher=jobli"], "choose one of basic, joblib"),
        (["hydra/launcher=jobli"], "did you mean 'joblib'"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: must be"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=x"], "n_jobs=x: must be a whole number"),
        (["hydra/launcher=joblib", "seed=0,x"], "seed=x: must be a whole number"),
    ],
)
def test_wrong_input_is_one_sentence_and_nothing_starts(compass_sim, tmp_path, overrides, sentence):
    assert sentence in sentence_of(compass_sim("-m", *SHORT, "planner=greedy", *overrides))
    assert list(tmp_path.iterdir()) == []


def test_what_ray_needs_is_told_in_one_sentence(compass_sim, tmp_path):
    at = "hydra.launcher.ray.init.address=127.0.0.1:1"
    err = sentence_of(compass_sim("-m", *SHORT, "planner=greedy", "hydra/launcher=ray", at))
    assert "pip install 'compass-sim[ray]'" in err or f"{at}: does not answer" in err
    assert list(tmp_path.iterdir()) == []


def test_two_sweeps_do_not_share_a_directory(compass_sim):
    Path("here").mkdir()
    Path("here/note").touch()
    with held(Path("here")):
        err = sentence_of(compass_sim("-m", *SHORT, "planner=greedy", "hydra.sweep.dir=here"))
    assert "another sweep is running there; wait until it ends" in err
    with held(Path("here")), pytest.raises(InputError, match="taken"), held(Path("here"), "taken"):
        pass


@pytest.mark.slow
def test_figures_of_a_run_killed_while_drawing_are_drawn_later(compass_sim):
    drawn = (*SHORT, "figures=true", "planner=comparison", "~planner.compare.compass")
    assert compass_sim(*drawn, "hydra.run.dir=whole")[0] == 0
    shutil.copytree("whole", "here")
    # As it is left by a process that is killed as the last planner has just finished.
    summary = json.loads(Path("here", SUMMARY).read_text())
    last = list(summary)[-1]
    del summary[last]
    Path("here", SUMMARY).write_text(json.dumps(summary))
    for drawings in (Path("here/figures"), Path("here", last, "figures")):
        shutil.rmtree(drawings)
    Path("here", last, CHECKPOINT).touch()
    assert compass_sim(*drawn, "hydra.run.dir=here", "resume=true")[0] == 0
    assert results("here") == results("whole")


def test_a_bar_counts_runs_on_a_terminal_alone(monkeypatch, capsys):
    screen = io.StringIO()
    with console.sweep_progress(2) as show:
        show("done [1]\n", "but\n")
    assert capsys.readouterr() == ("done [1]\n", "but\n")
    terminal = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(console, "console", lambda: terminal)
    with console.sweep_progress(2) as show:
        show("done [1]\n", "")
    assert "done [1]" in screen.getvalue()
    assert "1 of 2 runs" in screen.getvalue()


def test_each_value_is_composed_once_and_numbers_of_a_kind_too():
    jobs = [
        (f"planner={planner}", f"seed={seed}", f"workload.rate={rate}")
        for planner in ("greedy", "ilp")
        for seed in range(5)
        for rate in (0.1, 0.2)
    ]
    assert list(with_new_overrides(jobs)) == [jobs[0], jobs[10]]
    odd = [("seed=0",), ("seed=1",), ("seed=1.5",), ("seed=x",), ("seed=y",), ("seed=x",)]
    assert list(with_new_overrides(odd)) == [odd[0], odd[2], odd[3], odd[4]]


def test_tables_are_read_once_a_process_unless_they_change(tmp_path, monkeypatch):
    reads = []
    read_file = keyed_tables.read_file
    monkeypatch.setattr(
        keyed_tables, "read_file", lambda path: reads.append(path) or read_file(path)
    )
    file = tmp_path / "accuracy.csv"
    file.write_text("value\n0.5\n")
    for _ in range(2):
        frame = keyed_tables.application_tables(str(tmp_path))["accuracy"].frame
        assert frame["value"].to_list() == ["0.5"]
    assert len(reads) == 1
    file.write_text("value\n0.75\n")
    frame = keyed_tables.application_tables(str(tmp_path))["accuracy"].frame
    assert frame["value"].to_list() == ["0.75"]
