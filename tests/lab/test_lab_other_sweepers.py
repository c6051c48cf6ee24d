"""Third-party sweepers that search: they work with any launcher, and can be resumed."""

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from command_line import sentence_of
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from lab.common.errors import InputError
from lab.runs.run_directory import SUMMARY, read_summary, write_summary
from lab.sweeps.sweep import objective

SHORT = ("experiment=speech_small", "horizon_s=10", "figures=false", "planner=greedy")
CLIMB = (*SHORT, "hydra/sweeper=climbing", "workload.rate=1", "hydra.sweep.dir=here")

ONE_COMPARED = ("planner=comparison", "~planner.compare.compass", "~planner.compare.videostorm")


class Climbing(Sweeper):
    """Doubles a key while what it gets grows, two values at a time."""

    def __init__(self, key, most):
        self.key, self.most = key, most

    def setup(self, *, hydra_context, task_function, config):
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        if self.most > 9:
            raise RuntimeError("too high")
        found = []
        while len(found) < 2 or (found[-1] > found[-2] and len(found) < self.most):
            fixed = [one for one in arguments if not one.startswith(f"{self.key}=")]
            values = [2 ** (len(found) + step) for step in range(2)]
            jobs = [[*fixed, f"{self.key}={value}"] for value in values]
            returned = self.launcher.launch(jobs, initial_job_idx=len(found))
            found += [job.return_value for job in returned]
        OmegaConf.save({"found": found}, Path(self.config.hydra.sweep.dir) / "found.yaml")


Climbing.__module__ = "hydra_plugins.climbing"  # Hydra takes sweepers from such modules alone.


@pytest.fixture
def compass(monkeypatch, compass_sim):
    """Return a function that runs a sweep in an empty directory."""
    target = f"{Climbing.__module__}.{Climbing.__name__}"
    node = {"_target_": target, "key": "workload.rate", "most": 4}
    ConfigStore.instance().store(group="hydra/sweeper", name="climbing", node=node)
    module = ModuleType(Climbing.__module__)
    module.Climbing = Climbing
    monkeypatch.setitem(sys.modules, Climbing.__module__, module)
    monkeypatch.setitem(Plugins.instance().class_name_to_class, target, Climbing)
    yield lambda *words: compass_sim("-m", *words)
    ConfigStore.instance().repo["hydra"]["sweeper"].pop("climbing.yaml")


def found():
    return OmegaConf.load("here/found.yaml").found


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_another_sweeper_gets_the_objective_and_goes_on(compass, launcher):
    again = (*CLIMB, f"hydra/launcher={launcher}")
    status, out, err = compass(*again)
    assert (status, err) == (0, "")
    assert out.count("job ") == len(found()) >= 2
    goodput = [
        read_summary(Path("here", str(job)))["service_goodput_mean"] for job in range(len(found()))
    ]
    assert found() == goodput
    one, other = objective(Path("here/0"), ["service_goodput_mean", "deployment_cost_usd"])
    assert one == objective(Path("here/0"), "service_goodput_mean") == found()[0]
    assert other == read_summary(Path("here/0"))["deployment_cost_usd"]
    with pytest.raises(InputError, match="objective=planner: has no value in this run"):
        objective(Path("here/0"), "planner")
    assert {path.name for path in Path("here").iterdir()} == {
        *map(str, range(len(goodput))),
        "found.yaml",
    }
    assert "already has a sweep; add resume=true" in sentence_of(compass(*again))
    shutil.rmtree("here/1")
    status, out, err = compass(*again, "resume=true")
    assert (status, err) == (0, "")
    assert out.count("nothing to do") == len(goodput) - 1
    assert found() == goodput


@pytest.mark.slow
def test_a_sweeper_does_not_resume_over_a_run_of_another_configuration(compass):
    assert compass(*CLIMB)[0] == 0
    status, _, err = compass(*CLIMB, "horizon_s=30", "resume=true")
    assert status == 1
    assert "horizon_s is 10.0 there and 30.0 here" in err
    assert "hydra/sweeper=climbing: failed (job 0 failed); " in err


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        pytest.param(
            ["hydra.callbacks.outcome.objective=goodput"],
            "objective=goodput: not in the summary; ",
            marks=pytest.mark.slow,
        ),
        pytest.param([*ONE_COMPARED], "needs a single planner", marks=pytest.mark.slow),
        (["hydra.sweeper.most=10"], "hydra/sweeper=climbing: failed (too high); "),
        (["planner.samples=-1"], "failed (job 0 failed); finished jobs are kept"),
    ],
)
def test_what_goes_wrong_is_one_sentence(compass, overrides, sentence):
    status, _, err = compass(*CLIMB, *overrides)
    assert status == 1
    assert "Traceback" not in err
    assert sentence in err.splitlines()[-1]


def test_wrong_keys_of_planner_and_sweeper_are_refused(compass, tmp_path):
    for override in ("planner.sample=3", "hydra.sweeper.mst=3"):
        err = sentence_of(compass(*CLIMB, override))
        assert override.partition("=")[0].rpartition(".")[2] in err.splitlines()[-1]
        assert list(tmp_path.glob(f"**/{SUMMARY}")) == []


@pytest.mark.slow
def test_hydras_own_sweeper_runs_every_combination(compass):
    status, out, _ = compass(*SHORT, "hydra/sweeper=basic", "seed=0,1", "hydra.sweep.dir=here")
    assert status == 0
    assert out.count("job ") == 2


def test_a_planner_named_planner_does_not_make_a_comparison_a_run(made, tmp_path):
    write_summary(tmp_path, {"planner": read_summary(made / "0")})
    with pytest.raises(InputError, match="needs a single planner"):
        objective(tmp_path, "service_goodput_mean")
