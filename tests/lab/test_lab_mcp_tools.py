"""What the tools for assistants do: values of keys, runs that are kept, answers."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lab.common.errors import InputError
from lab.common.metrics import HEADLINES
from lab.config.compose import compose, set_up
from lab.mcp_server import keys, questions, single_runs
from lab.mcp_server.answers import Place, cut_short
from lab.mcp_server.reading import read
from lab.mcp_server.tool_arguments import TOOLS
from lab.runs.api import run

SMALL = {
    "experiment": "speech_small",
    "planner": "cheapest_feasible",
    "settings": {"data_plane": "events", "workload.rate": 0.05, "horizon_s": 70},
}
BASE = ["experiment=speech_small", "planner=greedy"]


def asked(tool, /, **arguments):
    return read(tool, arguments, 50.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("tools"), jobs=1)


@pytest.fixture(scope="module")
def ran(place):
    told = []
    answer = single_runs.run(asked("run", **SMALL, seeds=2), place, told.append)
    return answer, told


def test_each_key_can_be_set_to_its_own_value():
    base = compose(BASE)
    own = {key: OmegaConf.select(base, key) for key in keys.hints()}
    plain = {
        key: OmegaConf.to_container(one) if OmegaConf.is_config(one) else one
        for key, one in own.items()
    }
    words = [*BASE, *keys.overrides(plain)]
    assert len(words) > 60
    config = set_up(compose(words), words).config
    assert config == set_up(base, BASE).config


def test_every_key_has_a_meaning():
    assert set(keys.meanings()) == set(keys.hints())
    assert all(keys.meanings().values())


def test_settings_become_overrides():
    settings = {
        "network": "wifi",
        "network.technologies": {"4G-LTE": 0.8, "5G-SA-Low-Band": 0.2},
        "cluster.nodes.cloud.purchase": "1-year commit",
        "drift.events": [{"kind": "rate_change", "at_s": 60, "factor": 2.0}],
        "cluster.shed_late": True,
        "network.backhaul_km": None,
    }
    words = [*BASE, *keys.overrides(settings)]
    config = compose(words)
    assert set_up(config, words).config.network.technologies == settings["network.technologies"]
    assert config.cluster.nodes.cloud.purchase == "1-year commit"
    assert config.drift.events == settings["drift.events"]
    assert config.cluster.shed_late is True
    assert config.network.backhaul_km is None


PIECES = (
    *("a", "7", " ", "'", '"', ",", "=", "{", "}", "[", "]", "$", "${oc.env:HOME}", "\\", "\n"),
    *("workload.rate=9", "+x", "~", "null", "(", ")", "range", "/etc", "..", "#", "é"),
)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
@example("1-year commit' workload.rate=9 '")
@example("a,b")
@example("null")
def test_no_text_sets_anything_but_its_key(text):
    key = "cluster.nodes.cloud.purchase"
    try:
        words = keys.overrides({key: text})
    except InputError:
        return
    found, base = compose([*BASE, *words]), compose(BASE)
    value = OmegaConf.select(found, key)
    assert text == ("null" if value is None else str(value))
    for one in (found, base):
        OmegaConf.update(one, key, "on-demand")
    assert found == base


NAMES = ("experiment", "planner", "settings", "seeds", "changes", "vary", "run", "at_s", "events")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(("speech_small", "greedy", "wait", "0" * 32, "network", "é\n")),
)
ARGUMENTS = st.recursive(
    VALUES,
    lambda each: st.one_of(
        st.lists(each, max_size=3),
        st.dictionaries(st.sampled_from((*NAMES, *keys.hints(), "x\n")), each, max_size=4),
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(list(TOOLS)),
    st.dictionaries(st.sampled_from((*NAMES, "query", "budget_s", "x")), ARGUMENTS, max_size=6),
)
def test_any_arguments_are_read_or_refused_in_a_sentence(tool, arguments):
    given = {"experiment": "speech_small", "planner": "greedy", "run": "0" * 32, **arguments}
    known = {one.name for one in fields(TOOLS[tool])}
    for each in (arguments, {name: one for name, one in given.items() if name in known}):
        try:
            asked(tool, **each)
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017 -- it need not be raised


def test_a_run_is_that_of_the_same_overrides_and_is_kept(ran, place):
    answer, told = ran
    assert [one["seed"] for one in answer.runs] == [0, 1]
    words = ["experiment=speech_small", "planner=cheapest_feasible", "data_plane=events"]
    same = run([*words, "workload.rate=0.05", "horizon_s=70", "seed=1"])
    name = answer.runs[1]["run"]
    assert (
        single_runs.read_run_summary(place.directory / "runs" / name)["queries"]
        == (same.summary["queries"])
    )
    assert (
        single_runs.scan(place.directory / "runs" / name, "windows").collect().equals(same.windows)
    )
    done = [one.done for one in told]
    assert done == sorted(done)
    assert all(one.total == 2 for one in told)
    assert {one["unit"] for one in answer.numbers.values()} >= {"queries", "USD", "s"}
    assert list(answer.numbers) == [one.name for one in HEADLINES]

    again = single_runs.run(asked("run", **SMALL, seeds=2), place, pytest.fail)
    assert again == answer


def test_queries_are_listed_and_explained(ran, place):
    name = ran[0].runs[0]["run"]
    found = single_runs.explain(asked("explain", run=name), place, pytest.fail)
    shares = [one["slo_met_fraction"] for one in found.numbers["queries"]]
    assert shares
    assert shares == sorted(shares)
    told = single_runs.explain(asked("explain", run=name, query=0), place, pytest.fail)
    assert "SLO: p95 latency of at most" in told.answer
    with pytest.raises(InputError, match="QUERY=999: "):
        single_runs.explain(asked("explain", run=name, query=999), place, pytest.fail)


def test_a_fork_is_kept_and_can_be_explained_but_not_forked(ran, place):
    name = ran[0].runs[0]["run"]
    cut = {"run": name, "at_s": 20.0, "machines": {"cloud": 0}}
    event = {"kind": "rate_change", "at_s": 30.0, "factor": 3.0}
    found = single_runs.fork(
        asked("fork", **cut, events=[event], queries={"0": "wait"}), place, lambda _: None
    )
    numbers = found.numbers["deployment_cost_usd"]
    assert numbers["forked"] < numbers["as it was"]
    assert "--event rate_change,at_s:30,factor:3 --query 0=wait" in found.command
    again = asked("fork", **cut, events=[event], queries={"0": "wait"})
    assert single_runs.fork(again, place, pytest.fail) == found
    [one] = found.runs
    assert single_runs.explain(asked("explain", run=one["run"], query=0), place, pytest.fail)
    with pytest.raises(InputError, match="is a fork"):
        single_runs.fork(asked("fork", **{**cut, "run": one["run"]}), place, lambda _: None)
    with pytest.raises(InputError, match="is after the end of the run"):
        single_runs.fork(asked("fork", **{**cut, "at_s": 70.0}), place, pytest.fail)


@pytest.mark.slow
def test_equal_forks_at_the_same_time_leave_each_other_alone(ran, place):
    wanted = asked("fork", run=ran[0].runs[0]["run"], at_s=25.0, machines={"cloud": 0})
    first = []

    def tell(_):
        if not first:  # Another call makes the same fork while this one repeats the run.
            first.append(single_runs.fork(wanted, place, lambda _: None))
            Path(first[0].directory, "seen").touch()

    assert single_runs.fork(wanted, place, tell) == first[0]
    directory = Path(first[0].directory)
    assert (directory / "seen").exists()
    assert not [*directory.parent.glob(".*")]


@pytest.mark.slow
def test_a_metric_without_a_value_is_said_to_have_none(place):
    idle = {**SMALL, "settings": {"workload.rate": 1e-9, "horizon_s": 5}}
    found = single_runs.run(asked("run", **idle), place, lambda _: None)
    assert "SLO met, share of time: no value." in found.answer
    change = {"planner": "greedy"}
    found = questions.compare(
        asked("compare", **idle, changes=[change], seeds=1), place, lambda _: None
    )
    assert "SLO met, share of time: no value." in found.answer


def test_an_answer_so_far_has_what_is_known(place):
    told = []
    change = {"settings": {"network": "wifi"}}
    whole = questions.compare(
        asked("compare", **SMALL, changes=[change], seeds=2), place, told.append
    )
    assert whole.finished
    early = cut_short(told[-3].so_far, "The budget was used up.")
    assert not early.finished
    assert early.note == "The budget was used up."
    counts = [one["n"] for one in early.numbers["slo_met_fraction"]["means"]]
    assert counts == [1, 1]
    assert cut_short(None, "No.").answer == "No result yet."

    told.clear()
    ask = asked("sensitivity", **SMALL, vary={"workload.rate": [0.04, 0.05]}, seeds=2)
    found = questions.sensitivity(ask, place, told.append)
    assert len(found.numbers["effects"]) == 1
    assert "workload.rate=0.05 is the same as the base" in found.note
    assert told[-1].so_far == found
    assert [one.done for one in told] == [1, 2, 3, 4]
    assert told[0].so_far.numbers["effects"] == []
    assert told[2].so_far.numbers["effects"][0]["seeds"] == 1

    told.clear()
    ask = asked("capacity", **SMALL, vary={"cluster.nodes.cloud.count": [2]}, at_most=1, seeds=3)
    found = questions.capacity(ask, place, told.append)
    assert found.answer.startswith("cheapest combination shown to suffice")
    assert [one["verdict"] for one in found.numbers["combinations"]] == ["suffices"]
    assert told[0].so_far.answer == "No combination is judged yet."
