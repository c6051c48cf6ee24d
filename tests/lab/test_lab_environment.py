"""Values of the environment reach a run, but neither its files nor its messages."""

import os
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lab import run
from lab.cli.simulate import main
from lab.cli.tools import main as tools_main
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.runs.run_directory import load_config, read_summary

SECRET = "hunter2-Zq81"
TOKEN = "${oc.env:COMPASS_TOKEN}"
OWN = '''
from planners import Greedy


class Teller(Greedy):
    """Raises what it is given."""

    def __init__(self, token: str, parts: dict = {}, samples: int = 1):
        super().__init__(samples=samples)
        self.token, self.parts = token, parts

    def plan(self, context):
        if context.now_s > 30:
            raise ValueError(f"the token is {self.token}")
'''
SHORT = ["experiment=speech_small", "horizon_s=60"]
SECRETS = [
    f"+planner.token={TOKEN}",
    "+planner.parts={a: ['${planner.token}'], b: 'x-${about.claim}'}",
    f"about.claim={TOKEN}",
    "about.metric='${oc.decode:${about.claim}}'",
    f"application.name=name-{TOKEN}",
    "workload.rate=${oc.env:COMPASS_RATE}",
]


@pytest.fixture
def here(current, monkeypatch):
    monkeypatch.setenv("COMPASS_TOKEN", SECRET)
    monkeypatch.setenv("COMPASS_RATE", "0.3141592")
    (current / "telling_pkg.py").write_text(OWN)
    return current


def with_secrets(directory: Path) -> list[str]:
    """Return the files and directories below a directory that have a value of the environment."""
    found = []
    for path in directory.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for secret in (SECRET, "0.3141592"):
            if secret in str(path) or secret.encode() in content:
                found.append(str(path))
    return found


def compass(*words: str) -> int:
    sys.argv = ["compass-sim", *words]
    return main()


def test_a_run_has_no_value_of_the_environment(here, capsys):
    words = ["planner._target_=telling_pkg.Teller", *SHORT, *SECRETS, "figures=false"]
    assert compass(*words, "hydra.run.dir=one") == 1
    assert compass(*words, "hydra.run.dir=one", "resume=true") == 1
    assert read_summary(here / "one")["planner_parameters"]["token"] == TOKEN
    written = OmegaConf.to_container(OmegaConf.load(here / "one" / "config.yaml"))
    assert written["workload"]["rate"] == "${oc.env:COMPASS_RATE}"
    assert written["planner"]["parts"]["a"] == ["${planner.token}"]
    out, err = capsys.readouterr()
    assert f"the token is {TOKEN}" in err
    assert SECRET not in out + err
    assert with_secrets(here) == []


@pytest.mark.slow
def test_a_comparison_and_a_report_have_no_value_of_the_environment(here, capsys):
    words = [
        *("planner=comparison", "~planner.compare.compass", "~planner.compare.videostorm", *SHORT),
        f"+planner.compare.mine={{_target_: telling_pkg.Teller, token: '{TOKEN}'}}",
        *SECRETS[2:],
    ]
    assert compass(*words, "hydra.run.dir=several", "hydra.output_subdir=.hydra") == 1
    assert read_summary(here / "several/mine")["planner_parameters"]["token"] == TOKEN
    assert tools_main(["report", "several"]) == 0
    assert tools_main(["explain", "several/mine", "0"]) == 0
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert with_secrets(here) == []


@pytest.mark.slow
def test_a_sweep_has_no_value_of_the_environment(here, capsys):
    words = ["planner._target_=telling_pkg.Teller", *SHORT[:2], SECRETS[0], SECRETS[5]]
    where = ["hydra.sweep.dir=many", "hydra.sweep.subdir='${hydra.job.override_dirname}'"]
    assert compass("-m", *words, "figures=false", "seed=0,1", *where) == 1
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert TOKEN in err
    assert len(list(here.glob("many/*/**/summary.json"))) == 2
    assert with_secrets(here) == []


@pytest.mark.parametrize(
    "override",
    [
        f"seed={TOKEN}",
        f"resume={TOKEN}",
        f"planner={TOKEN}",
        f"tables.gpu_latency={TOKEN}",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (
                f"planner.samples={TOKEN}",
                f"application.name=[{TOKEN}]",
                f"workload.arrivals._target_={TOKEN}",
                f"drift.events=[{{kind: {TOKEN}}}]",
                f"cluster.nodes.edge.machine={TOKEN}",
                f"+workload.devices={{jetson: '{TOKEN}'}}",
            )
        ),
    ],
)
def test_a_message_has_no_value_of_the_environment(here, capsys, override):
    assert compass("planner=greedy", "figures=false", "horizon_s=1", override) == 2
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "COMPASS_TOKEN" in said
    assert "Traceback" not in said
    assert with_secrets(here) == []


def test_the_run_itself_has_the_values(here):
    overrides = ["planner=greedy", "seed=${oc.env:COMPASS_SEED,7}", f"about.claim=a-{TOKEN}"]
    setup = set_up(compose(overrides), overrides)
    assert (setup.seed, setup.config.about.claim) == (7, f"a-{SECRET}")
    assert OmegaConf.to_container(setup.saved)["seed"] == "${oc.env:COMPASS_SEED,7}"
    with pytest.raises(InputError, match="name the variable directly"):
        set_up(compose(overrides), ["about.claim='${oc.env:${about.metric}}'"])


def test_other_configurations_are_saved_as_they_are(here):
    overrides = ["planner=greedy", "drift=device_slowdown", "flush_every_s=${horizon_s}"]
    setup = set_up(compose(overrides), overrides)
    assert setup.saved is setup.config
    assert setup.config.flush_every_s == setup.config.horizon_s


def test_what_strangers_wrote_into_results_is_not_resolved(here):
    Path("config.yaml").write_text(f"application: {{name: '{TOKEN}', operators: {{}}}}\n")
    assert load_config(Path("config.yaml")).application.name == TOKEN


def test_copied_variables_are_refused(here, capsys):
    assert compass("hydra.job.env_copy=[COMPASS_TOKEN]", "hydra.output_subdir=.hydra") == 2
    assert "hydra.job.env_copy: is refused" in capsys.readouterr().err


@pytest.mark.slow
def test_python_and_what_if_runs_have_no_value_of_the_environment(here, capsys):
    words = ["planner=cheapest_feasible", *SHORT, *SECRETS[2:]]
    run(words, directory=here / "run")
    few = ["--seeds", "2", "--jobs", "1", "--out", "answers"]
    assert tools_main(["sensitivity", *words, *few, "--vary", "cluster.tick_s=1,2"]) in (0, 1)
    assert tools_main(["agree", *words]) == 0
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert with_secrets(here) == []


@pytest.mark.parametrize("key", ["oc.env :COMPASS_TOKEN", "oc.${about.metric}:COMPASS_TOKEN"])
def test_other_ways_to_write_a_variable_do_not_reveal_it(here, key):
    overrides = ["planner=greedy", "about.metric=env", f"+planner.token='${{{key}}}'"]
    with pytest.raises(InputError) as refused:
        set_up(compose(overrides), overrides)
    assert SECRET not in str(refused.value)


def test_a_value_is_hidden_within_a_longer_word(here):
    overrides = [f"planner=x{TOKEN}"]
    with pytest.raises(InputError) as refused:
        compose(overrides)
    assert SECRET not in str(refused.value)


def test_what_a_reference_gives_is_not_resolved_again(here):
    (here / "experiment").mkdir()
    (here / "experiment/x.yaml").write_text(
        "# @package _global_\nabout: {claim: $}\n"
        "application: {name: '${about.claim}{oc.env:COMPASS_TOKEN}'}\n"
    )
    overrides = [f"hydra.searchpath=['file://{here}']", "planner=greedy", "experiment=x"]
    with pytest.raises(InputError) as refused:
        set_up(compose(overrides), overrides)
    said = "application.name=${oc.env:COMPASS_TOKEN}: a value must not become ${...} itself"
    assert str(refused.value) == said


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tables.gpu_latency=FILE"], "x.csv: is no CSV or Parquet file (empty"),
        (["tables.accelerators=FILE"], "x.csv: board: is missing"),
        (["workload=azure_code", "workload.arrivals.path=FILE"], "not readable as CSV (empty"),
        (
            ["+network.traces={t: {uplink: FILE, downlink: FILE, rtt_s: 0.1}}"],
            "holds fewer than two lines",
        ),
        (["workload=azure_code", "workload.arrivals.path=large.csv"], "larger than 4,000,000,000"),
        (["workload=azure_code", f"workload.arrivals.path={'a' * 300}"], "no such file"),
        ([f"tables.gpu_latency={'a' * 300}"], "no such file"),
        ([f"application.tables={'a' * 3000}"], "no such directory"),
        (["application.tables=data"], "models.csv: is no CSV or Parquet file (empty"),
    ],
    ids=str,
)
def test_a_data_file_is_not_a_file_of_the_system(here, words, said):
    (here / "data").mkdir()
    for name in ("x.csv", "data/models.csv"):
        (here / name).symlink_to("/proc/self/environ")
    (here / "large.csv").touch()
    os.truncate(here / "large.csv", 1 << 40)
    overrides = ["planner=greedy", *(word.replace("FILE", "x.csv") for word in words)]
    with pytest.raises(InputError) as refused:
        set_up(compose(overrides), overrides)
    assert said in str(refused.value)
    assert "PATH=" not in str(refused.value), "which the file has; it lacks what a test sets"
