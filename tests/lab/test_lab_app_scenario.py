"""The state of the app's page: its overrides and its address, which can be a stranger's."""

import random
import shlex
from dataclasses import replace

import pytest

from lab.app.controls import SCENARIOS, controls
from lab.app.events import changed, override
from lab.app.scenario import State, state_of
from lab.common.errors import InputError
from lab.config.compose import compose
from scenarios.drift import DriftEvent

BUSY = (
    "experiment=tracking_small&planner=compass_15s&against=greedy&network=wifi&workload.rate=0.03"
    "&cluster.nodes.cloud.count=3&event=rate_change,at_s:300,factor:3"
    "&event=machine_failure,at_s:100,node:cloud"
)


def test_an_address_gives_the_state_that_gave_it():
    state = state_of(BUSY)
    assert state.query() == BUSY
    assert state.planners == ("compass_15s", "greedy")
    assert state_of("?" + state.query()) == state


def test_without_an_address_the_page_shows_the_first_scenario():
    assert state_of("") == state_of("?") == State()


def test_speech_starts_with_half_of_the_users_of_the_experiment():
    assert State().overrides(0)[-1] == "workload.rate=0.05"
    assert compose(["experiment=speech_small"]).workload.rate == 0.1
    assert State().moved("workload.rate", 0.07).overrides(0)[-1] == "workload.rate=0.07"


def test_the_command_has_all_that_differs_from_the_experiment():
    first, *words = shlex.split(state_of(BUSY).command(1, seed=4))
    assert first == "compass-sim"
    config = compose(words)
    assert (config.seed, config.workload.rate, config.cluster.nodes.cloud.count) == (4, 0.03, 3)
    assert config.network.technologies == {"WiFi": 1.0}
    assert [one.kind for one in config.drift.events] == ["rate_change", "machine_failure"]
    assert config.planner._target_.endswith("Greedy")


def test_a_control_moved_back_leaves_no_trace():
    state = State()
    moved = state.moved("workload.rate", 0.025).moved("network", "wifi")
    assert moved.value("workload.rate") == 0.025
    assert moved.moved("network", "mobile").moved("workload.rate", 0.05) == state


def test_the_menu_of_links_says_what_their_mix_is():
    links = State().controls["network"]
    shown = dict(zip(links.options, links.labels, strict=True))
    assert shown["mobile"] == "mobile: 50 % 4G-LTE, 30 % 5G-NSA-Low-Band, 20 % 5G-NSA-mmWave"
    assert all(label.startswith(f"{name}: ") for name, label in shown.items())
    for name in ("home", "low_band"):
        mix = compose(["experiment=speech_small", f"network={name}"]).network.technologies
        for link, share in mix.items():
            assert f"{100 * share:g} % {link}" in shown[name]


@pytest.mark.parametrize("experiment", SCENARIOS)
def test_every_position_of_a_control_can_be_shared(experiment):
    for one in controls(experiment).values():
        assert one.default in one.positions
        for position in one.positions:
            assert one.read(str(position)) == position


def test_a_state_that_differs_in_everything_can_be_shared():
    draw, state = random.Random(7), State()
    for key, one in state.controls.items():
        state = state.moved(
            key, draw.choice([each for each in one.positions if each != one.default])
        )
    state = state.moved("cluster.nodes.cloud.standby", 1)
    events = (DriftEvent("link_degradation", draw.uniform(0, 600), share=0.25, ramp_s=9.0),)
    state = replace(state, events=events)
    assert len(state.values) == len(state.controls)
    assert state_of(state.query()) == state


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("workload.rates=0.1", "workload.rates: no such key of the scenario; choose one of"),
        ("hydra.run.dir=/x", "hydra.run.dir: no such key of the scenario"),
        ("planner._target_=os.system", "planner._target_: no such key of the scenario"),
        ("planner=compas", "planner=compas: choose one of"),
        ("planner=ilp", "planner=ilp: choose one of"),
        ("experiment=speech_large", "experiment=speech_large: choose one of"),
        ("network=wify", "network=wify: choose one of"),
        ("workload.rate=9", "workload.rate=9: must be a number from 0.0125 to 0.075 queries/s"),
        ("workload.rate=${oc.env:HOME}", "workload.rate=${oc.env:HOME}: must be a number"),
        ("workload.rate=nan", "workload.rate=nan: must be a number"),
        ("cluster.nodes.cloud.count=1.5", "must be a whole number from 1 to 4"),
        ("cluster.nodes.cloud.standby=4", "must lie between 0 and the node's count, 2"),
        ("workload.rate=0.1&workload.rate=0.1", "workload.rate: the address has it twice"),
        ("workload.rate", "the address must end in ?NAME=VALUE&NAME=VALUE"),
        ("event=rate_changes", "did you mean 'rate_change'?"),
        ("event=rate_change,factr:3", "factr: choose one of at_s, factor"),
        ("event=rate_change,factor:x", "factor:x: must be a number"),
        ("event=rate_change,factor:3,factor:4", "has factor twice"),
        ("event=rate_change,factor:-3", "factor=-3.0: must"),
        ("event=machine_failure,node:}],seed:3", "node:}]: choose one of edge, cloud"),
        ("event=machine_failure,node:cloud,machine:9", "node cloud has the machines 0 to 1"),
        ("&".join(["event=mps_fault,node:cloud"] * 9), "at most 8 events"),
        ("a=" + "b" * 2000, "the address is longer than 2,000 characters"),
    ],
)
def test_a_stranger_s_address_gets_one_sentence(query, said):
    with pytest.raises(InputError) as caught:
        state_of(query)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


RISE, FAILURE = DriftEvent("rate_change", 300.0, 3.0), DriftEvent("mps_fault", 100.0, node="edge")


def test_the_timeline_adds_moves_and_removes_events():
    placed = changed((RISE,), None, 100, "mps_fault,node:edge")
    assert placed == (RISE, FAILURE)
    assert changed(placed, 0, 310, "") == (replace(RISE, at_s=310.0), FAILURE)
    assert changed(placed, 0, None, "") == (FAILURE,)
    assert override(placed) == (
        "drift.events=[{kind:rate_change,at_s:300,factor:3},{kind:mps_fault,at_s:100,node:edge}]"
    )


@pytest.mark.parametrize(
    ("number", "at_s", "said"),
    [
        (2, 10, "event=2: there are 1 events, counted from 0"),
        (-1, 10, "event=-1: there are 1 events"),
        ("0", 10, "event='0': there are 1 events"),
        (0, -5, "at_s=-5.0: must"),
        (0, "soon", "at_s:soon: must be a number"),
        (None, "1,factor:2", "has factor twice"),
        (None, float("nan"), "at_s=nan: must"),
    ],
)
def test_a_change_of_the_timeline_is_checked(number, at_s, said):
    with pytest.raises(InputError) as caught:
        changed((RISE,), number, at_s, "rate_change,factor:2")
    assert said in str(caught.value)


def test_the_timeline_takes_no_more_than_eight_events():
    with pytest.raises(InputError, match="at most 8 events"):
        changed((RISE,) * 8, None, 10, "rate_change")
