"""The Python function run: what it refuses, warns of, and takes for its planner."""

import pytest
from command_line import SHORT

from lab import run
from lab.common.errors import InputError
from planners import CheapestFeasible


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


@pytest.mark.parametrize(
    "overrides",
    [
        ["cluster=large", "network=lte", "drift=content_shift", "planner=cheapest_feasible_15s"],
        ["cluster=cloud_only", "network=mmwave", "workload=azure_code"],
        ["cluster=edge_only", "workload=azure_conversation", "drift=device_slowdown"],
        ["drift=machine_failure", "planner=videostorm"],
        ["drift=planner_crash", "planner=videostorm_15s"],
        [
            *("experiment=speech_small", "horizon_s=60"),
            *("drift=link_degradation", "planner=videostorm_max_min"),
        ],
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
