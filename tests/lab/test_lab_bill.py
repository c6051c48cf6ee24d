"""The bill of a run follows from the Parquet files that the run wrote."""

import polars as pl
import pytest
from money import attributed_usd, bill_usd, idle_usd

from lab.runs.api import run
from sim.metrics.results import SCHEMAS


@pytest.mark.parametrize("planner", ["videostorm", "static_plan"])
def test_invariant_money_costs_of_the_summary_follow_from_the_files(planner, tmp_path):
    words = [
        *("experiment=speech_small", f"planner={planner}", "drift=machine_failure", "seed=901"),
        *("horizon_s=200", "flush_every_s=40", "workload.rate=0.2"),
    ]
    summary = run(words, directory=tmp_path / "here").summary
    tables = {
        name: pl.read_parquet(sorted((tmp_path / "here" / name).glob("*.parquet")))
        for name in SCHEMAS
    }
    assert len(list((tmp_path / "here" / "machines").iterdir())) > 1
    assert bill_usd(tables) == pytest.approx(summary["deployment_cost_usd"])
    assert idle_usd(tables) == pytest.approx(summary["idle_cost_usd"])
    attributed = sum(attributed_usd(tables).values())
    assert attributed == pytest.approx(summary["attributed_cost_usd"])
    assert attributed + idle_usd(tables) == pytest.approx(bill_usd(tables))
