"""The group ``profiling``: on what planners profile, by one word, and what it costs in reports."""

from dataclasses import fields

import pytest

from lab.common.errors import InputError
from lab.common.options import groups
from lab.config.compose import compose
from lab.runs.api import run
from scenarios.cluster import POOL, PROFILING, Profiling

SHORT = ["experiment=speech_small", "switching=free", "horizon_s=60", "seed=3", "figures=false"]


def chosen(*overrides):
    return compose(["experiment=speech_small", *overrides]).cluster.profiling


def test_each_kind_has_an_option_of_its_name():
    assert sorted(groups()["profiling"]) == sorted(PROFILING)
    for name in PROFILING:
        assert chosen(f"profiling={name}").kind == name


def test_free_lanes_are_those_of_files_and_are_no_boards_of_a_pool():
    large = ["experiment=speech_large"]
    assert chosen("profiling=free").lanes == 4
    assert compose([*large, "profiling=free"]).cluster.profiling.lanes == 1600
    pool = compose([*large, "profiling=pool"]).cluster.profiling
    assert (pool.count, pool.workers) == (16, 4)


def test_the_default_is_a_pool_with_the_boards_of_one_made_in_python():
    assert chosen() == chosen("profiling=pool")
    made = Profiling(kind=POOL, workers=chosen().workers)
    for each in fields(Profiling):
        assert chosen()[each.name] == getattr(made, each.name)


def test_invariant_money_profiling_is_in_the_summary_and_its_shares_in_the_tables(tmp_path):
    words = [*SHORT, "profiling=pool", "planner=compass"]
    result = run(words, directory=tmp_path / "here")
    summary, queries, runs = result.summary, result.queries, result.profiling
    of_datasets = runs.filter(runs["query"].is_null())["cost_usd"].sum()
    shares = queries["profiling_cost_usd"].sum() + of_datasets
    assert of_datasets > 0
    assert shares == pytest.approx(summary["profiling_cost_usd"], rel=1e-12)
    bill = summary["attributed_cost_usd"] + summary["idle_cost_usd"] + shares
    assert bill == pytest.approx(summary["total_cost_usd"], rel=1e-9)
    hours = summary["service_goodput_mean"] * 60 / 3600
    assert summary["goodput_per_usd"] == pytest.approx(hours / summary["total_cost_usd"])
    device_hours = runs["device_s"].sum() / 3600
    assert summary["profiling_cost_usd"] == pytest.approx(5.0688 * device_hours)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["profiling=pool", "cluster.profiling.count=0"], r"count=0: must lie between 1 and"),
        (["profiling=pool", "cluster.profiling.machine=n1-standard-4"], "has no GPU"),
        (["profiling=idle_instances", "cluster=cloud_only"], "no node has GPUs on standby"),
        (["profiling=pol"], "did you mean 'pool'"),
    ],
)
def test_profiling_that_cannot_be_is_refused_in_a_sentence(words, reason):
    with pytest.raises(InputError, match=reason):
        run([*SHORT, *words])
