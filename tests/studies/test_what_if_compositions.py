"""What-if questions compose each combination once, and name its planner."""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from math import fsum
from operator import add

import polars as pl
import pytest

from lab.cli.tools import main
from lab.common.console import composing
from lab.run_cache import jobs as grid
from lab.run_cache import keys as run_keys
from lab.run_cache.jobs import Job, Row
from lab.runs import api
from lab.what_if.capacity import as_overrides, combinations
from lab.what_if.question import Varied
from lab.what_if.runs import Runs

MADE_UP = {"run_core_s": 0.1, "requests": 5.0}


@pytest.fixture
def composed(monkeypatch) -> list[tuple[str, ...]]:
    """Return what is composed from now on; runs are made up."""
    seen: list[tuple[str, ...]] = []
    compose: Callable[..., object] = api.compose

    def noted(overrides):
        seen.append(tuple(overrides))
        return compose(overrides)

    def made(missing: Mapping[str, Job], *_: object) -> Iterator[tuple[str, Row]]:
        yield from ((key, MADE_UP) for key in missing)

    for each in (run_keys.prepared, run_keys.configuration):
        each.cache_clear()
    monkeypatch.setattr(api, "compose", noted)
    monkeypatch.setattr(grid, "_made", made)
    return seen


def test_a_combination_is_composed_once(composed, tmp_path) -> None:
    words = ["capacity", "experiment=speech_small", "planner=greedy", "--metric", "requests"]
    vary = ["--vary", "cluster.nodes.cloud.count=1,2,3", "--at-least", "9", "--seeds", "5"]
    assert main([*words, *vary, "--out", str(tmp_path)]) == 1
    assert len(composed) == len(set(composed)) == 3


def test_a_setting_is_composed_once(composed, tmp_path) -> None:
    words = ["sensitivity", "experiment=speech_small", "planner=greedy", "--metric", "requests"]
    vary = ["--vary", "workload.rate=0.05,0.2", "--seeds", "2", "--against", "planner=static_plan"]
    assert main([*words, *vary, "--out", str(tmp_path)]) == 0
    assert len(composed) == len(set(composed)) == 2 * 3


def test_experiments_that_name_different_planners_are_not_said_to_share_one(
    composed, tmp_path, capsys
) -> None:
    vary = ["--vary", "experiment=speech_small,speech_large", "--metric", "requests"]
    out = ["--out", str(tmp_path)]
    assert main(["capacity", *vary, "--at-least", "1", "--seeds", "3", *out]) == 0
    said = capsys.readouterr().out
    assert "planned by the planner of each combination?" in said
    assert "suffice, planned by CheapestFeasible (the default): experiment=speech_small, " in said
    [table] = tmp_path.glob("*.csv")
    planners = {row["experiment"]: row["planner"] for row in pl.read_csv(table).to_dicts()}
    assert planners.pop("speech_large", "Compass") == "Compass"
    assert planners == {"speech_small": "CheapestFeasible (the default)"}


def test_prices_are_summed_exactly(tmp_path) -> None:
    third = "+cluster.nodes={third: {tier: cloud, machine: g2-standard-8, count: 1}}"
    runs = Runs(["planner=greedy", third], tmp_path)
    found, _ = combinations(runs, [Varied("cluster.nodes.cloud.count", ("3",))], "requests")
    [each] = found
    setup, _ = runs.setup(as_overrides(each.settings))
    prices = [one.count * one.price_usd_per_hour for one in setup.scenario().cluster.nodes.values()]
    rounded = reduce(add, prices)  # From Python 3.12 on, the built-in sum rounds only once.
    assert each.usd_per_hour == fsum(prices) != rounded


@pytest.mark.parametrize(("total", "terminal", "shown"), [(11, True, 1), (10, True, 0), (11, 0, 0)])
def test_a_bar_is_shown_on_a_terminal_where_many_are_composed(
    total, terminal, shown, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", property(lambda _: bool(terminal)))
    assert list(composing(range(total))) == list(range(total))
    said = capsys.readouterr()
    assert not said.out
    assert ("composing" in said.err) == bool(shown)
