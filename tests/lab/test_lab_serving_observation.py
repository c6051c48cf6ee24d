"""The table of observed requests, by hand, and the directory of an observation."""

import json
import re
import time

import numpy as np
import polars as pl
import pytest

from lab.common.errors import InputError
from lab.serving.client import Reply, Sent
from lab.serving.noise import SCHEMA, NoiseRecorder, core_times, frequency_hz
from lab.serving.observation import Observation, check_free, read_observation, request_table
from lab.serving.payloads import Payload
from lab.serving.timing import Visit, header, visits_of
from sim.dataplane.base.request_rows import width
from sim.metrics.request_table import PARTS, request_frame

OPERATORS = ["detect", "read"]
TOLD = 'desc="batch=4 replica=7"'


def visit(start_s, compute_s, queueing_s=0.0, batching_s=0.0, replica="a", batch=1):
    return Visit(None, queueing_s, batching_s, compute_s, compute_s / 2, start_s, batch, replica)


def on_this_host():
    """A request that was scheduled at 100 s and sent 0.01 s late."""
    visits = {"detect": visit(100.10, 0.2, 0.05, 0.02), "read": visit(100.35, 0.1, 0.0, 0.03)}
    return Sent(100.0, 100.01, 100.5, Reply(b"answer", header(visits)))


def lost():
    return Sent(101.0, 101.0, 103.0, Reply(None, header({"detect": visit(101.5, 1)}), "no answer"))


def elsewhere():
    visits = {"read": visit(5.0, 0.1, 0.3, 0.0, "b", 4)}
    return Sent(102.0, 102.0, 102.9, Reply(b"", header(visits)))


def table():
    sent = [on_this_host(), lost(), elsewhere()]
    return request_table(sent, [Payload(b"abc", 1.5)] * 3, [{"accuracy": 0.5}, {}, {}], OPERATORS)


def test_parts_are_placed_on_the_path_and_add_up_to_the_latency():
    row = table().row(0, named=True)
    expected = {
        "number": 0,
        "arrival_s": 0.0,
        "sent_s": 0.01,
        "ended_s": 0.5,
        "latency_s": 0.5,
        "outcome": "completed",
        "size": 1.5,
        "detect_transfer_s": 0.03,  # from the schedule to the entry at 100.10 - 0.05 - 0.02
        "detect_queueing_s": 0.05,
        "detect_batching_s": 0.02,
        "detect_compute_s": 0.2,
        "detect_cpu_s": 0.1,
        "detect_started_s": 0.1,
        "read_transfer_s": 0.02,  # from 100.30 to 100.35 - 0.03
        "answer_transfer_s": 0.05,  # from 100.45
        "detect_batch": 1,
        "detect_replica": 0,
        "bytes_out": 3,
        "bytes_in": 6,
        "answer": "answer",
        "accuracy": 0.5,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    parts = [row[f"{name}_{part}"] for name in OPERATORS for part in PARTS]
    assert sum(parts) + row["answer_transfer_s"] == pytest.approx(row["latency_s"])


def test_a_lost_request_has_no_latency_and_no_parts():
    row = table().row(1, named=True)
    assert row["outcome"] == "lost"
    assert row["failure"] == "no answer"
    assert row["ended_s"] == 3.0
    nulls = ["latency_s", "detect_compute_s", "detect_started_s", "answer_transfer_s", "bytes_in"]
    assert [row[name] for name in nulls] == [None] * 5


def test_the_clock_of_another_host_places_nothing():
    row = table().row(2, named=True)
    known = {"read_compute_s": 0.1, "read_queueing_s": 0.3, "read_batch": 4, "read_replica": 1}
    assert {name: row[name] for name in known} == pytest.approx(known)
    nulls = ["read_transfer_s", "read_started_s", "answer_transfer_s", "detect_compute_s"]
    assert [row[name] for name in nulls] == [None] * 4


def test_the_columns_are_those_of_the_simulators_table():
    simulated = request_frame(np.zeros((1, width(len(OPERATORS))), np.int64), OPERATORS)
    ours = table()
    assert ours.columns[: simulated.width] == simulated.columns
    assert ours.dtypes[: simulated.width] == simulated.dtypes


@pytest.mark.parametrize(
    "text",
    [
        f"detect.compute;dur=98;{TOLD}, detect.queueing;dur=1.5",
        f"cdn;desc=hit , detect.queueing ; dur=1.5,detect.compute;desc='x';dur=98;{TOLD}",
        f'DB;dur=5, detect.queueing;dur="1.5", detect.compute;dur=98;{TOLD}, total',
    ],
)
def test_headers_of_other_services_are_read(text):
    [seen] = visits_of(text).values()
    assert (seen.queueing_s, seen.compute_s, seen.batch) == (0.0015, 0.098, 4)


@pytest.mark.parametrize("text", ["", ",,;", "detect.compute", "detect.compute;dur=x", "a" * 10**5])
def test_headers_without_times_tell_nothing(text):
    assert all(one == Visit() for one in visits_of(text).values())


def test_a_header_round_trip_keeps_a_visit():
    told = visit(81234.5, 0.0123, 0.001, 0.002, "r1", 3)
    assert visits_of(header({"x": told}))["x"] == told


def written(directory):
    noise = pl.DataFrame([[1.0, 0.0, 0.5, 2e9, 1.0, 0.002]], SCHEMA, orient="row")
    operators = [{"name": name} for name in OPERATORS]
    needed = {"rate_per_s": 1.0, "requests": 3, "seed": 0, "arrivals": "poisson"}
    Observation({"pipeline": {"operators": operators}, **needed}, table(), noise).write(directory)
    return directory


def test_an_observation_is_read_as_it_was_written(tmp_path):
    found = read_observation(written(tmp_path / "made"))
    assert found.operators == OPERATORS
    assert found.requests.equals(table())
    assert found.noise["frequency_hz"].to_list() == [2e9]
    with pytest.raises(InputError, match="has an observation; name another directory"):
        check_free(tmp_path / "made")
    check_free(tmp_path / "free")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("observation.json", b"{", "cannot be read as JSON"),
        ("observation.json", b"{}", "has no pipeline, so it describes no observation"),
        ("requests.parquet", b"x", "cannot be read as Parquet"),
        ("noise.parquet", None, "no such file"),
        ("observation.json", None, "has no observation.json"),
    ],
)
def test_a_damaged_observation_is_refused_in_a_sentence(tmp_path, name, content, message):
    path = written(tmp_path) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        read_observation(tmp_path)


def test_a_description_without_the_tables_operators_is_refused(tmp_path):
    path = written(tmp_path) / "observation.json"
    told = json.loads(path.read_text())
    told["pipeline"]["operators"] += [{"name": "extract"}]
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match="has no column extract_queueing_s"):
        read_observation(tmp_path)


@pytest.mark.parametrize(
    "pipeline", [[], {"operators": 1}, {"operators": [1]}, {"operators": [{}]}]
)
def test_a_description_whose_operators_have_no_names_is_refused(tmp_path, pipeline):
    path = written(tmp_path) / "observation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pipeline": pipeline}))
    with pytest.raises(InputError, match="must be a list of mappings with a name"):
        read_observation(tmp_path)


@pytest.mark.parametrize(
    "told", [{"name": "../../a"}, {"operators": [{"name": "/tmp/a"}]}, {"operators": [{"name": 3}]}]
)
def test_a_name_that_would_lead_to_files_elsewhere_is_refused(tmp_path, told):
    path = written(tmp_path) / "observation.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({**known, "pipeline": {**known["pipeline"], **told}}))
    with pytest.raises(InputError, match="a name must have lower-case letters, digits and _ only"):
        read_observation(tmp_path)


def test_an_operator_named_answer_is_passed_over():
    told = visits_of("answer.compute;dur=1, read.compute;dur=2")
    assert told == {"read": Visit(compute_s=0.002)}


def test_core_times_are_those_of_proc_stat():
    # user nice system idle iowait irq softirq steal guest guest_nice
    text = "cpu  100 10 50 800 20 3 7 10 5 0\ncpu0 1 2 3 4 5 6 7 8\n"
    assert core_times(text) == (10, 170, 1000)
    assert core_times("") is None


def test_frequency_is_the_mean_of_the_cores():
    assert frequency_hz("cpu MHz\t\t: 2000.5\nx\ncpu MHz\t\t: 3000.5\n") == 2500.5e6
    assert frequency_hz("model name : arm\n") is None


def test_noise_is_recorded_during_the_body(monkeypatch):
    monkeypatch.setattr("lab.serving.noise.EVERY_S", 0.05)
    recorder = NoiseRecorder()
    with recorder.during(time.monotonic()):
        time.sleep(0.35)
    rows = recorder.frame()
    assert rows.columns == list(SCHEMA)
    assert 2 <= rows.height <= 8
    assert rows["t_s"].is_sorted()
    assert rows["probe_s"].min() > 0
