"""The table of requests, which a run writes if it is asked to."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lab.runs import runner
from lab.runs.api import run
from sim.metrics.request_table import REQUESTS

SPEECH = [
    "experiment=speech_small",
    "switching=free",
    "horizon_s=100",
    "planner=videostorm",
    "seed=1",
]
RESTLESS = [
    *SPEECH,
    *("horizon_s=160", "workload.rate=0.5", "application.window_s=40"),
    *("drift=machine_failure", "cluster.drain_timeout_s=0.1", "requests=true"),
]
KEYS = ("query", "number")
PARTS = pl.sum_horizontal("^.*_(queueing|batching|compute|transfer)_s$")


@pytest.fixture(scope="module")
def restless(tmp_path_factory):
    """Return a run in which requests end in every way, and its directory."""
    directory = tmp_path_factory.mktemp("restless")
    return run([*RESTLESS, "flush_every_s=40"], directory=directory), directory


def parts(directory):
    return {path.name: path.read_bytes() for path in sorted((directory / REQUESTS).iterdir())}


def test_requests_are_written_on_request_only(tmp_path):
    result = run(SPEECH, directory=tmp_path)
    assert result.requests is None
    assert not (tmp_path / REQUESTS).exists()


def test_windows_can_be_counted_again_from_the_requests(restless):
    result, _ = restless
    application = result.scenario.application
    bounds = result.queries.select("query", "slo_latency_s")
    bound_s = pl.col("slo_latency_s") * pl.col("allowance")
    counted = (
        result.requests.join(bounds, on="query")
        .with_columns(window=(pl.col("arrival_s") // application.window_s).cast(pl.Int64))
        .group_by("query", "window")
        .agg(
            requests=pl.len().cast(pl.Int64),
            good=(pl.col("latency_s") <= bound_s).sum().cast(pl.Int64),
            unserved=(pl.col("outcome") == "unserved").sum().cast(pl.Int64),
        )
        .sort("query", "window")
    )
    windows = result.windows.filter("final", pl.col("requests") > 0).sort("query", "window")
    expected = windows.select(counted.columns)
    assert expected.height > 50
    both = counted.join(windows, on=["query", "window"], how="semi")
    assert_frame_equal(both, expected)


def test_every_request_has_one_row_and_its_parts_add_up(restless):
    result, _ = restless
    table = result.requests
    assert table.select(KEYS).is_unique().all()
    outcomes = dict(table.group_by("outcome").len().iter_rows())
    assert set(outcomes) == {"completed", "unserved", "lost", "dropped", "in_flight"}
    for outcome, count in outcomes.items():
        assert count == result.summary[outcome]
    assert table.equals(table.sort("ended_s", *KEYS))
    completed = table.filter(pl.col("outcome") == "completed")
    assert (completed["ended_s"] - completed["arrival_s"]).to_list() == pytest.approx(
        completed["latency_s"].to_list()
    )
    assert completed.select(PARTS).to_series().to_list() == pytest.approx(
        completed["latency_s"].to_list()
    )
    others = table.filter(pl.col("outcome") != "completed")
    assert others.select("latency_s", "^.*_(queueing|transfer)_s$").null_count().row(0) == tuple(
        [others.height] * (2 + 2 * len(result.scenario.application.operators))
    )
    unserved = table["outcome"] == "unserved"
    assert (table["deployment"].is_null() == unserved).all()


def test_both_data_planes_write_the_same_bytes(restless, tmp_path):
    result, directory = restless
    other = "events" if "BlocksPlane" in (directory / "config.yaml").read_text() else "blocks"
    run([*RESTLESS, "flush_every_s=40", f"data_plane={other}"], directory=tmp_path)
    assert "in_flight" in result.requests["outcome"]
    assert len(parts(directory)) == 5
    assert parts(directory) == parts(tmp_path)


def test_the_first_part_holds_the_columns(restless, tmp_path):
    run([*SPEECH, "requests=true", "workload.rate=1e-9"], directory=tmp_path)
    [part] = (tmp_path / REQUESTS).iterdir()
    empty = pl.read_parquet(part)
    assert empty.is_empty()
    assert empty.schema == restless[0].requests.schema


def test_requests_are_written_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MOST_REQUESTS", 100)
    result = run([*SPEECH, "requests=true"], directory=tmp_path)
    heights = [
        pl.read_parquet(path).height for path in sorted((tmp_path / REQUESTS).glob("part-*"))
    ]
    assert sum(heights) == result.summary["requests"] > 200
    in_a_step = result.requests.group_by(pl.col("ended_s") // runner.STEP_S).len()["len"].max()
    assert max(heights) <= 100 + in_a_step
    monkeypatch.undo()
    assert_frame_equal(run([*SPEECH, "requests=true"]).requests, result.requests)
