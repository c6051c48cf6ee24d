"""A calibrated pipeline as an application: what planners can plan, and what a request takes."""

import polars as pl
import pytest
from served_worlds import observed, truth

from lab import run
from lab.cli.tools import main
from lab.serving.observation import Observation

SERVED = {"read": (1, 2, 0.05), "extract": (1, 1, 0.0)}


def of_setting(reader, time_s, accuracy, seed):
    """Return an observation of a pipeline with a knob; a document is right or wrong."""
    tables = truth(
        {"read": {1: time_s, 2: 1.5 * time_s}, "extract": {1: 0.005}},
        slowdown=(1.0, 1.2),
        occupied_s=(0.001, 0.0),
    )
    seen = observed(tables, SERVED, 12, 600, seed)
    knobs = {"read": {"reader": reader, "scale": 1.0}, "extract": {}}
    operators = [
        {**each, "knobs": knobs[each["name"]]} for each in seen.description["pipeline"]["operators"]
    ]
    right = (pl.int_range(pl.len()) % 10 < 10 * accuracy).cast(pl.Float64)
    requests = seen.requests.with_columns(accuracy=right, bytes_out=5000, bytes_in=200)
    description = {**seen.description, "pipeline": {"name": "reading", "operators": operators}}
    return Observation(description, requests, seen.noise)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Calibrate from observations of two settings, and return the directory."""
    place = tmp_path_factory.mktemp("made")
    of_setting("small", 0.01, 0.7, 2).write(place / "small")
    of_setting("large", 0.03, 0.9, 1).write(place / "large")
    seen = [str(place / name) for name in ("small", "large")]
    assert main(["calibrate", "--observations", *seen, "--out", str(place / "tables")]) == 0
    return place / "tables"


def test_the_tables_are_those_of_the_configurations_the_most_accurate_first(made):
    services = pl.read_csv(made / "tables/services.csv")
    assert services["configuration"].to_list() == ["read.reader=large", "read.reader=small"]
    assert services["read_s"].to_list() == pytest.approx([0.031, 0.011], rel=0.02)
    assert services["extract_s"].to_list() == pytest.approx([0.006, 0.006], rel=0.02)
    accuracies = pl.read_csv(made / "tables/accuracies.csv")
    assert accuracies["mean"].to_list() == pytest.approx([0.9, 0.7])
    batches = pl.read_csv(made / "tables/read_batches.csv").filter(
        configuration="read.reader=large"
    )
    assert batches["time_s"].to_list() == pytest.approx([0.031, 0.046], rel=0.03)


def test_a_planner_serves_the_application_as_it_was_measured(made):
    own = f"hydra.searchpath=[file://{made}]"  # as --config-dir does
    words = [own, "experiment=reading", "horizon_s=240", "workload.rate=0.01", "requests=true"]
    result = run([*words, "planner=cheapest_feasible"])
    rows = result.requests.filter(outcome="completed")
    assert rows.height > 50
    # Users send a request each two seconds, so that hardly anything shares the cores.
    times_s = dict(rows.select("read_compute_s").to_series().round(3).value_counts().iter_rows())
    assert times_s.get(0.031, 0) + times_s.get(0.011, 0) > 0.9 * rows.height
    assert rows["extract_compute_s"].median() == pytest.approx(0.006, rel=0.02)
    node = result.scenario.cluster.nodes["edge"]
    assert (node.shared_cores, node.replicas_per_core) == (2, 4)
    assert list(node.core_slowdown) == pytest.approx([1.0, 1.2, 1.2, 1.2], rel=0.02)
