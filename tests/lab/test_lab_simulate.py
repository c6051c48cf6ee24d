"""The command, the run directory and the Python interface."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from command_line import changed
from omegaconf import OmegaConf
from polars.testing import assert_frame_equal

from lab import run
from lab.cli.tools import main as report
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.runs.run_directory import planner_directories, scan
from lab.runs.runner import simulate
from planners import CheapestFeasible
from sim.metrics.results import SCHEMAS

SHORT = ["horizon_s=60", "workload.rate=0.05", "figures=false"]
ENDS = ("completed", "unserved", "lost", "dropped", "shed", "in_flight")
GREEDY = "planner=cheapest_feasible"
HEAVY = ("scipy", "sklearn", "seaborn", "polars", "matplotlib", "hydra", "rich", "numba")


@pytest.fixture
def compass(compass_sim):
    """Return a function that runs the command, and briefly unless told otherwise."""
    return lambda *words: compass_sim(*changed(SHORT, words))


def tables(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every Parquet file, by its path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*.parquet"))
    }


def start_process(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from lab.cli.simulate import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *SHORT, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONHASHSEED": "random"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.name != "posix", reason="needs a current directory that can be deleted")
def test_an_error_without_a_name_is_one_sentence_on_its_cause(compass, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    error = OSError(errno.EFBIG, "File too large")

    def fails(*_):
        raise error

    monkeypatch.setattr("lab.cli.run.hydra_main", fails)
    assert compass()[::2] == (1, "compass-sim: hydra.run.dir: cannot be written: File too large\n")
    monkeypatch.setattr("lab.cli.run.register", (tmp_path / "here").rmdir)
    assert compass()[2].endswith(": the current directory has been deleted; change to another\n")


def test_a_number_of_too_many_digits_is_named(compass):
    status, _, err = compass(f"seed={'9' * 5000}")
    assert (status, err) == (2, "compass-sim: seed: a whole number can have at most 4,300 digits\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a current directory that can be deleted")
@pytest.mark.parametrize(("raised", "status"), [(None, 0), (FileNotFoundError(2, "gone"), 1)])
def test_a_current_directory_can_be_deleted_during_a_run(
    compass, tmp_path, monkeypatch, raised, status
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def ready(setup, *_, **__):
        (tmp_path / "here").rmdir()
        if raised:
            raise raised
        return setup

    monkeypatch.setattr("lab.cli.run.ready", ready)
    ended, out, err = compass(GREEDY, f"hydra.run.dir={tmp_path / 'out'}")
    assert (ended, err.count("\n")) == (status, status)
    assert (f"results: {tmp_path / 'out'}" in out) == (raised is None)


def test_help_loads_nothing_heavy_and_names_every_option():
    code = (
        "import sys; sys.argv = ['compass-sim', '--help']; from lab.cli.simulate import main; "
        f"assert main() == 0; print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for name in ("speech_small", "cheapest_feasible", "azure_code", "edge_only", "mmwave"):
        assert name in done.stdout
    assert "paper/... (" in done.stdout
    assert "fig02_chat" not in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fig02_chat", "it is experiment=paper/fig02_chat"),
        ("fig02_cat", "did you mean 'paper/fig02_chat'?"),
        ("paper/fig02_cat", "did you mean 'paper/fig02_chat'?"),
        ("speech_smal", "did you mean 'speech_small'?"),
    ],
)
def test_an_experiment_that_is_not_there_is_told_with_the_nearest_name(name, said):
    with pytest.raises(InputError) as refused:
        run([f"experiment={name}"])
    assert str(refused.value).startswith(f"experiment={name}: there is no such experiment; ")
    assert str(refused.value).endswith(said)


@pytest.mark.usefixtures("undrawn")
def test_a_run_directory_is_complete(compass):
    status, out, err = compass(
        *(GREEDY, "horizon_s=120", "flush_every_s=40", "seed=1"),
        *("figures=true", "hydra.run.dir=here"),
    )
    assert (status, err) == (0, "")
    assert "\x1b" not in out
    assert "results: here" in out
    here = Path("here")
    assert {path.name for path in here.iterdir()} == {
        "config.yaml",
        "summary.json",
        "figures",
        *SCHEMAS,
    }
    assert [path for path in here.rglob("*") if path.name.startswith(".")] == []
    for name, schema in SCHEMAS.items():
        assert dict(scan(here, name).collect_schema()) == dict(schema)
    assert len(list((here / "windows").iterdir())) > 1
    summary = json.loads((here / "summary.json").read_text())
    assert summary["status"] == "finished"
    queries = scan(here, "queries").collect()
    assert summary["queries"] == queries.height
    assert summary["requests"] == queries["requests"].sum()
    assert summary["requests"] == sum(summary[end] for end in ENDS)
    assert summary["deployment_cost_usd"] == pytest.approx(
        summary["attributed_cost_usd"] + summary["idle_cost_usd"]
    )
    config = OmegaConf.load(here / "config.yaml")
    assert config.horizon_s == 120
    assert config.planner._target_ == "planners.teaching.cheapest_feasible.CheapestFeasible"
    assert str(here.absolute()) not in (here / "config.yaml").read_text()


def test_results_are_complete_at_every_flush(tmp_path):
    seen = []

    class Watching(CheapestFeasible):
        def plan(self, context):
            summary = json.loads((tmp_path / "here" / "summary.json").read_text())
            seen.append((summary["status"], summary["simulated_s"]))
            for name in SCHEMAS:
                scan(tmp_path / "here", name).collect()
            super().plan(context)

    overrides = [*SHORT, "horizon_s=120", "flush_every_s=30", "seed=1"]
    result = run(overrides, Watching(), tmp_path / "here")
    assert {status for status, _ in seen} == {"running"}
    assert len({at_s for _, at_s in seen}) > 1
    assert result.summary["status"] == "finished"
    assert_frame_equal(scan(tmp_path / "here", "windows").collect(), result.windows)


def test_what_the_help_says_can_be_added_can_be_added(compass):
    _, out, _ = compass("--help")
    [example] = re.findall(r"such as (\+\S+)", out)
    status, _, err = compass(GREEDY, example, "hydra.run.dir=here")
    assert (status, err) == (0, "")
    key, _, value = example[1:].partition("=")
    config = OmegaConf.load("here/config.yaml")
    assert OmegaConf.select(config, key) == float(value)


@pytest.mark.usefixtures("undrawn")
def test_one_share_of_a_mix_can_be_set_and_swept(compass, capsys):
    """Hydra's grammar refuses keys that begin with a digit, but takes them in mappings."""
    key = "network.technologies.5G-NSA-mmWave"
    status, _, err = compass("-m", "planner=greedy", f"{key}=0.1,0.5", "hydra.sweep.dir=here")
    assert (status, err) == (0, "")
    for number, share in enumerate((0.1, 0.5)):
        network = OmegaConf.load(Path("here", str(number), "config.yaml")).network
        mix = {"4G-LTE": 0.5, "5G-NSA-Low-Band": 0.3, "5G-NSA-mmWave": share}
        assert network.technologies == mix
    assert report(["report", "here"]) == 0
    assert f"here: {key}=0.5: 1 planner" in capsys.readouterr().out


DETAILS = ("status", "simulated", "in flight", "planning, wall", "of it idle")


def shown_rows(out: str) -> list[str]:
    """Return the labels of the rows of a printed table."""
    return [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]


@pytest.mark.usefixtures("undrawn")
def test_the_table_leaves_out_zeros_and_details_unless_all_is_asked_for(compass, capsys):
    _, every, _ = compass("--all", GREEDY, "hydra.run.dir=here")
    assert {*DETAILS, "dropped", "planner errors"} <= {*shown_rows(every)}
    assert report(["report", "here", "--all"]) == 0
    assert shown_rows(capsys.readouterr().out) == shown_rows(every)
    assert report(["report", "here"]) == 0
    few = capsys.readouterr().out
    zeros = [line.split("│")[1].strip() for line in every.splitlines() if line.endswith(" 0 │")]
    assert "dropped" in zeros
    assert shown_rows(few) == [row for row in shown_rows(every) if row not in (*DETAILS, *zeros)]
    assert "service goodput, queries" in shown_rows(few)


INTERRUPTING = """
import signal
from planners import CheapestFeasible
class Interrupted(CheapestFeasible):
    def plan(self, context):
        if context.now_s > 30:
            signal.raise_signal(signal.SIGINT)
        super().plan(context)
"""


@pytest.mark.parametrize("sweep", [False, True])
def test_an_interrupt_keeps_what_adds_up_and_says_where(compass, sweep):
    Path("interrupting_pkg.py").write_text(INTERRUPTING)
    status, _, err = compass(
        *(["-m", "hydra.sweep.dir=here"] if sweep else ["hydra.run.dir=here"]),
        "planner.compare.cheapest_feasible._target_=interrupting_pkg.Interrupted",
        "~planner.compare.compass",
        "switching=free",
        "horizon_s=120",
    )
    assert status == 130
    assert err == (
        "compass-sim: interrupted; planner videostorm of the comparison never ran; results "
        "so far are kept in here, and resume=true continues from there\n"
    )
    directory = Path("here/0" if sweep else "here")
    summary = json.loads((directory / "cheapest_feasible/summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert 30 < summary["simulated_s"] < 120
    assert summary["in_flight"] > 0
    assert summary["requests"] == sum(summary[end] for end in ENDS)
    assert list(json.loads((directory / "summary.json").read_text())) == ["cheapest_feasible"]
    assert not Path("here/multirun.yaml").exists()


def test_requests_add_up_at_every_flush():
    seen = []

    def look(_, summary):
        seen.append((summary["requests"], sum(summary[end] for end in ENDS)))

    overrides = ["planner=cheapest_feasible", *SHORT, "flush_every_s=7"]
    setup = set_up(compose(overrides), overrides)
    [(name, planner)] = setup.planners.items()
    simulate(setup, name, planner, [look])
    assert len(seen) == 10
    assert all(born == ended for born, ended in seen)


def test_flushing_does_not_change_the_results():
    often = run([*SHORT, "flush_every_s=7", "seed=1"])
    once = run_once(*SHORT, "seed=1")
    for name in SCHEMAS:
        assert_frame_equal(getattr(often, name), getattr(once, name))


@cache
def run_once(*overrides):
    """Return the result of a run that several tests read."""
    return run(overrides)


def test_same_seed_same_bytes_twice_in_a_process_and_in_another(compass, tmp_path):
    for name in ("a", "b"):
        assert compass(GREEDY, f"hydra.run.dir={name}")[0] == 0
    done = start_process(tmp_path, GREEDY, "hydra.run.dir=c")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    expected = tables(tmp_path / "a")
    assert len(expected) >= len(SCHEMAS)
    for name in "bc":
        assert tables(tmp_path / name) == expected
    assert (tmp_path / "a/config.yaml").read_bytes() == (tmp_path / "c/config.yaml").read_bytes()


def test_another_planner_on_the_same_seed_meets_the_same_world():
    one = run([*SHORT, "horizon_s=120"], CheapestFeasible(samples=5))
    other = run([*SHORT, "horizon_s=120"], CheapestFeasible(samples=100, budget_s=15.0))
    served = {"true_accuracy"}  # by what the planner chose
    columns = [
        *("query", "tier", "dataset", "device", "technology", "arrival_s", "departure_s"),
        *("slo_latency_s", "slo_accuracy", "slo_cost_usd_per_hour", "requests"),
        *(name for name in SCHEMAS["queries"] if name.startswith("true_") and name not in served),
    ]
    assert_frame_equal(one.queries.select(columns), other.queries.select(columns))
    assert one.decisions.height
    assert not one.decisions.equals(other.decisions)


def test_planners_are_compared_side_by_side(compass):
    more = "+planner@planner.compare.patient=cheapest_feasible_15s"
    status, out, err = compass(
        more, "~planner.compare.videostorm", "~planner.compare.compass", "hydra.run.dir=here"
    )
    assert (status, err) == (0, "")
    assert "cheapest_feasible" in out
    assert "patient" in out
    summaries = json.loads(Path("here/summary.json").read_text())
    assert list(summaries) == ["cheapest_feasible", "patient"]
    assert summaries["patient"]["planner_parameters"]["budget_s"] == 15
    assert list(planner_directories(Path("here"))) == ["cheapest_feasible", "patient"]
    assert "compare" not in Path("here/patient/config.yaml").read_text()
    worlds = [
        scan(Path("here", name), "queries").select("arrival_s", "device", "true_device_factor")
        for name in summaries
    ]
    assert_frame_equal(*pl.collect_all(worlds))


def test_a_sweep_goes_on_past_a_failing_job(compass):
    Path("fragile_pkg.py").write_text(
        "from planners import CheapestFeasible\n"
        "class Fragile(CheapestFeasible):\n"
        "    def __init__(self, weakness: int = 0):\n"
        "        if weakness == 1: raise ValueError('weak')\n"
        "        self.weakness, self.samples = weakness, 10\n"
    )
    status, out, err = compass(
        "-m",
        "planner._target_=fragile_pkg.Fragile",
        "+planner.weakness=1,2",
        "seed=0,1",
        "hydra.sweep.dir=sweep",
    )
    assert status == 1
    refused = "planner: Fragile(weakness=1) was rejected: weak\n"
    assert [Path("sweep", job, "error.txt").read_text() for job in "01"] == [refused, refused]
    for job, seed in (("2", 0), ("3", 1)):
        summary = json.loads(Path("sweep", job, "summary.json").read_text())
        assert (summary["status"], summary["seed"]) == ("finished", seed)
    assert not Path("sweep/multirun.yaml").exists()
    assert out.count("job ") == 2
    assert "jobs failed: 0, 1;" in err
    assert err.count("\n") == 3


def test_a_run_that_cannot_be_written_fails_in_one_sentence_that_names_the_file(compass):
    blocked = Path("here", "windows", "part-00000.parquet")
    Path(blocked, "in_the_way").mkdir(parents=True)
    status, _, err = compass(GREEDY, "hydra.run.dir=here")
    assert status == 1
    assert err.startswith(
        f"compass-sim: hydra.run.dir={Path.cwd() / 'here'}: cannot be written (in "
    )
    assert err.endswith(f": {Path.cwd() / blocked}\n")
    assert err.count("\n") == 1
    assert Path("here/error.txt").read_text() == err.removeprefix("compass-sim: ")


def test_a_full_disk_that_holds_not_even_the_reason_is_no_bad_input(compass, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    status, _, err = compass(GREEDY, "hydra.run.dir=here")
    assert status == 1
    assert err.count("\n") == 1
    assert ": No space left on device: " in err
    assert err.endswith("; free space, and try again (a run: with resume=true)\n")
    assert not any(path.name.startswith(".") for path in Path("here").rglob("*"))


LOOPING = """
import time
from planners import CheapestFeasible
class Looping(CheapestFeasible):
    def __init__(self, tries: int = 1, from_s: float = 30.0):
        self.tries, self.from_s, self.samples = tries, from_s, 10
    def plan(self, context):
        left = self.tries
        while context.now_s > self.from_s and left:
            try:
                time.sleep(1)  # unlike a loop, takes no processor time
                while True:
                    pass
            except Exception:
                pass
            except BaseException:
                left -= 1
                if not left:
                    raise
        super().plan(context)
"""
LOOPS = "planner._target_=looping_pkg.Looping"


def test_a_run_that_takes_too_long_is_ended_and_the_sweep_goes_on(compass):
    Path("looping_pkg.py").write_text(LOOPING)
    run(SHORT)  # What is compiled, or loaded, is to take no time of it.
    words = ["-m", LOOPS, "+planner.from_s=30,1e9", "hydra.sweep.dir=sweep"]
    handler = signal.getsignal(signal.SIGALRM)
    status, _, err = compass(*words, "max_wall_s=3")
    assert status == 1
    sentence = Path("sweep/0/error.txt").read_text()
    [reached] = re.fullmatch(
        r"max_wall_s=3: the run of Looping reached this limit in looping_pkg.py:\d+ at (\S+) of "
        r"60 simulated s; the results until then are kept\n",
        sentence,
    ).groups()
    assert sentence in err
    assert "Traceback" not in err
    assert "1 of 2 jobs failed: 0;" in err
    summary = json.loads(Path("sweep/0/summary.json").read_text())
    assert summary["status"] == "failed"
    assert 30 < summary["simulated_s"] == pytest.approx(float(reached), abs=1e-3)
    assert summary["requests"] == sum(summary[end] for end in ENDS)
    assert json.loads(Path("sweep/1/summary.json").read_text())["status"] == "finished"
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    Path("looping_pkg.py").write_text(LOOPING.replace("while context", "while False and context"))
    sys.modules.pop("looping_pkg")
    again = ["resume=true", "max_wall_s=600"]  # Another limit is no other sweep.
    status, _, err = compass(*words, *again)
    assert (status, err) == (0, "")
    assert not Path("sweep/0/error.txt").exists()


def test_a_planner_that_takes_too_long_does_not_stop_the_others(compass, monkeypatch):
    monkeypatch.setattr("lab.limits.wall_limit.AGAIN_S", 0.1)
    Path("catching_pkg.py").write_text(LOOPING)
    run([*SHORT, "planner=videostorm"])
    status, _, err = compass(
        "planner.compare.cheapest_feasible._target_=catching_pkg.Looping",
        "~planner.compare.cheapest_feasible.budget_s",
        "~planner.compare.cheapest_feasible.samples",
        "~planner.compare.compass",
        "+planner.compare.cheapest_feasible.tries=2",  # It catches the first attempt to end it.
        "max_wall_s=3",
        "hydra.run.dir=here",
    )
    assert status == 1, err
    assert (
        "max_wall_s=3: the run of cheapest_feasible reached this limit in catching_pkg.py:" in err
    )
    summaries = json.loads(Path("here/summary.json").read_text())
    assert {name: one["status"] for name, one in summaries.items()} == {
        "cheapest_feasible": "failed",
        "videostorm": "finished",
    }


def test_a_limit_that_is_not_reached_changes_no_byte(compass):
    outcomes = []
    for where, words in (("without", []), ("with", ["max_wall_s=600"])):
        assert compass(GREEDY, f"hydra.run.dir={where}", *words)[0] == 0
        config = Path(where, "config.yaml").read_text()
        outcomes.append((tables(Path(where)), config))
    assert outcomes[0] == outcomes[1]


def test_a_limit_that_cannot_be_kept_is_refused():
    for limit in ("0", "-1"):
        with pytest.raises(InputError, match=f"max_wall_s={limit}: must be above 0 s, or null"):
            run([*SHORT, f"max_wall_s={limit}"])
        with pytest.raises(InputError, match=f"max_call_s={limit}: must be above 0 s, or null"):
            run([*SHORT, f"max_call_s={limit}"])
    with pytest.raises(InputError, match=r"max_wall_s=1e\+308: must be 1e\+08 s or less"):
        run([*SHORT, "max_wall_s=1e308"])


def test_a_planner_of_the_current_directory_runs(compass):
    Path("cwd_pkg.py").write_text(
        "from sim import Planner\n"
        "class Idle(Planner):\n"
        "    def __init__(self, margin: float = 0.1):\n"
        "        self.margin = margin\n"
        "    def plan(self, context):\n"
        "        pass\n"
    )
    target = "planner._target_=cwd_pkg.Idle"
    status, _, err = compass(target, "+planner.margin=0.2", "hydra.run.dir=here")
    assert (status, err) == (0, "")
    summary = json.loads(Path("here/summary.json").read_text())
    assert summary["planner"] == "Idle"
    assert summary["planner_parameters"] == {"margin": 0.2}
    assert summary["service_goodput_mean"] == 0
    assert summary["response_time_p50_s"] is None
    assert summary["response_censored"] == summary["queries"] > 0


def test_options_may_stand_anywhere(compass, tmp_path):
    Path("own/experiment").mkdir(parents=True)
    Path("own/experiment/mine.yaml").write_text("# @package _global_\nseed: 17\n")
    words = ("experiment=mine", "--config-dir", "own", "horizon_s=60", "--cfg", "job", "~drift")
    status, out, err = compass(*words)
    assert (status, err) == (0, "")
    assert "seed: 17\n" in out
    assert "horizon_s: 60" in out


def test_no_query_at_all_is_a_run_like_any_other(compass):
    status, _, err = compass(GREEDY, "workload.rate=0", "hydra.run.dir=here")
    assert (status, err) == (0, "compass-sim: warning: workload.rate=0: no query will arrive\n")
    summary = json.loads(Path("here/summary.json").read_text())
    assert summary["queries"] == 0
    assert summary["slo_met_fraction"] is None
    assert summary["queries_met_share"] is None


SCENE = [
    *("experiment=speech_small", "planner=greedy", "profiling=free"),
    *("horizon_s=400", "workload.rate=0.05"),
]


@pytest.mark.parametrize(
    ("plane", "flush_every_s"),
    [
        ("blocks", 30),
        ("blocks", 600),
        ("events", 30),
        pytest.param("events", 600, marks=pytest.mark.slow),
    ],
)
def test_a_query_is_well_served_whose_slo_is_met_most_of_its_time(plane, flush_every_s):
    result = run_once(*SCENE, f"data_plane={plane}", f"flush_every_s={flush_every_s}")
    met_s, active_s = Counter(), Counter()
    for row in result.windows.iter_rows(named=True):
        active_s[row["query"]] += row["active_s"]
        met_s[row["query"]] += row["deployed_s"] * row["met"]
    shares = [met_s[query] / lived_s for query, lived_s in active_s.items() if lived_s > 0]
    assert min(shares) < 0.9 < max(shares)
    expected = sum(share >= 0.9 for share in shares) / len(shares)
    assert result.summary["queries_met_share"] == expected > 0


@pytest.mark.parametrize("flush_every_s", [30, 600])
def test_each_class_of_service_has_its_share(flush_every_s):
    result = run_once(*SCENE, "data_plane=blocks", f"flush_every_s={flush_every_s}")
    summary = result.summary
    shares = summary["slo_met_fraction_by_tier"]
    assert list(shares) == list(summary["queries_by_tier"]) == list(result.scenario.tiers)
    assert sum(summary["queries_by_tier"].values()) == summary["queries"] == result.queries.height
    for tier, share in shares.items():
        rows = result.windows.filter(tier=tier)
        met_s = rows.filter("met")["deployed_s"].sum()
        assert share == pytest.approx(met_s / rows["active_s"].sum(), rel=1e-12)
        assert summary["queries_by_tier"][tier] == result.queries.filter(tier=tier).height
    assert len(set(shares.values())) > 1


def test_a_class_of_service_that_nobody_asks_for_has_no_share():
    with pytest.warns(UserWarning, match="no query will arrive"):
        summary = run(["experiment=speech_small", "horizon_s=20", "workload.rate=0"]).summary
    assert set(summary["slo_met_fraction_by_tier"].values()) == {None}
    assert set(summary["queries_by_tier"].values()) == {0}


@pytest.mark.parametrize(
    "overrides",
    [
        ["cluster=large", "network=lte", "drift=content_shift"],
        ["cluster=cloud_only", "network=mmwave", "workload=azure_code"],
        ["cluster=edge_only", "workload=azure_conversation", "drift=device_slowdown"],
        ["drift=machine_failure", "planner=videostorm"],
        ["drift=planner_crash", "planner=videostorm_15s"],
        ["drift=link_degradation", "planner=videostorm_max_min"],
        ["experiment=speech_small", "horizon_s=60"],
        ["planner=cheapest_feasible_15s"],
    ],
    ids=" ".join,
)
def test_every_option_of_every_group_runs(overrides):
    result = run([*SHORT, *overrides])
    assert result.summary["status"] == "finished"
    assert result.summary["planner_errors"] == 0
    for event in result.scenario.drift.events:
        assert event.at_s == 30


def test_run_refuses_in_one_sentence():
    for overrides, part in (
        (["workload.rat=1"], "did you mean 'rate'"),
        (["planner=comparison"], "lab.compare"),
        ("seed=1", "must be a list"),
        (3, "must be a list"),
        ([3], "3 must be a text KEY=VALUE"),
        (["hydra.run.dir=x"], "in compass-sim only; use the argument directory"),
    ):
        with pytest.raises(InputError, match=part) as raised:
            run(overrides)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="derives from"):
        run(SHORT, planner=CheapestFeasible)
    for override in ("planner=videostorm", "planner.samples=3", "+planner.x=1"):
        with pytest.raises(InputError, match="the planner is an object here"):
            run([*SHORT, override], planner=CheapestFeasible())
    for directory in ("/proc/nowhere", __file__, 3):
        with pytest.raises(InputError, match=f"^directory={directory}: "):
            run(SHORT, directory=directory)


def test_run_takes_the_planner_that_an_experiment_names():
    short = ["horizon_s=10", "workload.rate=0"]
    named = {
        ("experiment=paper/fig19",): "Compass",
        ("experiment=paper/fig19", "planner=videostorm"): "VideoStorm",
        ("experiment=captioning_hours",): "CheapestFeasible",
        (): "CheapestFeasible",
    }
    for overrides, planner in named.items():
        assert run([*overrides, *short]).summary["planner"] == planner


def test_run_warns_of_what_the_command_warns_of():
    class Weak(CheapestFeasible):
        def plan(self, context):
            super().plan(context)
            if context.trigger == "arrival":
                raise RuntimeError("weak")

    with pytest.warns(UserWarning, match=r"^planner Weak raised \d+ times, first .*weak"):
        run(SHORT, Weak())
    with pytest.warns(UserWarning, match="accuracy_of_best=1.5: no plan can meet this"):
        run([*SHORT, "application.tiers.premium.accuracy_of_best=1.5"])


def test_runs_in_one_process_do_not_touch_each_other():
    first = run_once(*SHORT, "seed=1")
    run([*SHORT, "seed=4", "cluster=large", "drift=device_slowdown"])
    again = run([*SHORT, "seed=1"])
    for name in SCHEMAS:
        assert_frame_equal(getattr(first, name), getattr(again, name))
