"""The key ``warm_up_s``: what a summary leaves out before the steady state."""

import polars as pl
import pytest

from lab import run
from planners import CheapestFeasible


def test_metrics_of_goodput_begin_after_the_warm_up():
    words = ["experiment=speech_small", "switching=free", "horizon_s=240", "seed=903"]
    whole = run([*words, "figures=false"], CheapestFeasible())
    cut = run([*words, "figures=false", "warm_up_s=100"], CheapestFeasible())
    windows = cut.windows
    assert windows.equals(whole.windows)
    windows = windows.filter(pl.col("start_s") >= 120)
    summary = cut.summary
    assert (summary["warm_up_s"], whole.summary["warm_up_s"]) == (120, 0)
    met_s = windows.filter("met")["deployed_s"].sum()
    assert met_s > 0
    assert summary["service_goodput_mean"] == pytest.approx(met_s / 120)
    assert summary["active_queries_mean"] == pytest.approx(windows["active_s"].sum() / 120)
    assert summary["slo_met_fraction"] == pytest.approx(met_s / windows["active_s"].sum())
    later = cut.queries.filter(pl.col("arrival_s") >= 120)
    assert summary["response_censored"] == later["censored_after_s"].drop_nulls().len()
    changed = {key for key, value in whole.summary.items() if summary[key] != value}
    assert "service_goodput_mean" in changed
    assert not changed & {"queries", "requests", "deployment_cost_usd", "false_acceptances"}
