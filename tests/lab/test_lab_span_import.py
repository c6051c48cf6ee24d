"""Observations of spans that the SDK of OpenTelemetry has written, and of spans by hand."""

import json
import re
from pathlib import Path

import polars as pl
import pytest
from yaml import safe_load

from lab.cli.tools import main
from lab.serving.observation import read_observation
from lab.serving.predicting.calibration import calibrate
from lab.serving.predicting.service_tables import PATHS, TIMES
from sim.metrics.request_table import PARTS

SAMPLES = Path(__file__).parent / "samples"
LINES, PROTOBUF = SAMPLES / "otlp_lines.jsonl", SAMPLES / "otlp_protobuf.json"
REQUESTS, FAILED = 40, 7  # as in samples/make_otlp.py


def imported(capsys, out, *words):
    assert main(["import", "otel-spans", *map(str, words), "--out", str(out)]) == 0
    return read_observation(out), capsys.readouterr()


def refused(capsys, tmp_path, *words):
    assert main(["import", "otel-spans", *map(str, words), "--out", str(tmp_path / "no")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert not (tmp_path / "no").exists()
    return err


def span(name, start_ms, end_ms, parent="root", trace=1, **more):
    ids = {"traceId": f"{trace:032x}", "spanId": (name.encode() + bytes(8))[:8].hex()}
    if parent is not None:
        ids["parentSpanId"] = (parent.encode() + bytes(8))[:8].hex()
    times = {
        f"{k}TimeUnixNano": round(v * 10**6) for k, v in (("start", start_ms), ("end", end_ms))
    }
    return {**ids, "name": name, **times, **more}


def root(trace=1, end_ms=100, **more):
    return span("root", 0, end_ms, None, trace, **more)


def attribute(key, **value):
    return {"attributes": [{"key": key, "value": value}]}


def written(tmp_path, *spans):
    path = tmp_path / "spans.json"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    return path


def test_what_the_sdk_wrote_gives_the_times_of_each_request(capsys, tmp_path):
    found, told = imported(capsys, tmp_path / "a", LINES)
    assert "warning" not in told.err
    assert found.operators == ["detect", "read"]
    row = found.requests.row(3, named=True)  # slow = 3 in samples/make_otlp.py
    expected = {
        "arrival_s": 0.3,
        "latency_s": 0.081,
        "detect_transfer_s": 0.002,
        "detect_queueing_s": 0.0,
        "detect_compute_s": 0.023,
        "read_transfer_s": 0.003,  # to the start of read.queue
        "read_queueing_s": 0.005,
        "read_started_s": 0.333,
        "read_compute_s": 0.043,
        "read_batch": 2,
        "read_replica": 1,
        "answer_transfer_s": 0.005,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    parts = [row[f"{name}_{part}"] for name in found.operators for part in PARTS]
    assert sum(parts) + row["answer_transfer_s"] == pytest.approx(row["latency_s"])
    lost = found.requests.row(FAILED, named=True)
    assert (lost["outcome"], lost["failure"], lost["latency_s"]) == ("lost", "no capacity", None)
    described = found.description
    assert (described["requests"], described["lost"], described["rate_per_s"]) == (40, 1, 10.0)
    served = described["pipeline"]["operators"]
    assert [(each["replicas"], each["max_batch"]) for each in served] == [(1, 1), (2, 2)]


def test_ids_in_base64_and_lines_of_several_files_are_the_same_traces(capsys, tmp_path):
    first, _ = imported(capsys, tmp_path / "lines", LINES)
    second, _ = imported(capsys, tmp_path / "protobuf", PROTOBUF)
    assert first.requests.equals(second.requests)
    parts = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    lines = LINES.read_text(encoding="utf-8").splitlines(keepends=True)
    for path, some in zip(parts, (lines[::2], lines[1::2]), strict=True):
        path.write_text("".join(some), encoding="utf-8")
    third, _ = imported(capsys, tmp_path / "files", *parts)
    assert first.requests.equals(third.requests)


def test_tables_follow_from_the_spans(capsys, tmp_path):
    found, _ = imported(capsys, tmp_path / "a", LINES)
    tables = calibrate([found])
    slow = [number % 4 for number in range(REQUESTS) if number != FAILED]
    detect = tables[TIMES].filter(operator="detect").row(0, named=True)
    assert detect["mean_s"] == pytest.approx(0.02 + sum(slow) / len(slow) / 1e3)
    paths = tables[PATHS].filter(quantile=0.5).select("operator", "path_s").rows()
    assert dict(paths) == pytest.approx({"detect": 0.002, "read": 0.003, "answer": 0.005})


def test_a_single_request_gives_tables_and_an_application(capsys, tmp_path):
    imported(capsys, tmp_path / "a", written(tmp_path, root(), span("a", 10, 20)))
    words = ["--observations", str(tmp_path / "a"), "--out", str(tmp_path / "made")]
    assert main(["calibrate", *words]) == 0
    made = safe_load((tmp_path / "made" / "experiment" / "served.yaml").read_text())
    assert made["workload"]["rate"] == pytest.approx(1 / 600, abs=1e-6)  # users who live 600 s


def test_names_of_spans_and_attributes_can_be_given(capsys, tmp_path):
    told = {
        "attributes": [
            {"key": "n", "value": {"intValue": "3"}},
            {"key": "wait", "value": {"doubleValue": 0.004}},
            {"key": "pod", "value": {"stringValue": "p"}},
        ]
    }
    path = written(
        tmp_path, root(), span("Infer A", 10, 30, **told), span("b", 35, 60), span("c", 40, 50, "b")
    )
    words = ["--operator", "a=Infer A", "--operator", "b=b", "--attribute", "batch=n"]
    words += ["--attribute", "queueing=wait", "--attribute", "replica=pod", "--cores", "7"]
    found, told = imported(capsys, tmp_path / "o", path, *words)
    assert "no span b has the attribute n" in " ".join(told.err.split())
    row = found.requests.row(0, named=True)
    expected = {
        "a_transfer_s": 0.006,
        "a_queueing_s": 0.004,
        "a_compute_s": 0.02,
        "a_batch": 3,
        "a_replica": 0,
        "b_transfer_s": 0.005,
        "b_compute_s": 0.025,
        "b_batch": 1,
        "b_replica": None,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert found.description["host"]["cores"] == 7


def test_leaf_spans_are_operators_in_the_order_of_their_starts(capsys, tmp_path):
    spans = [root(), span("GET z", 10, 20), span("a.b", 30, 40, "inner"), span("inner", 25, 45)]
    found, _ = imported(capsys, tmp_path / "o", written(tmp_path, *spans))
    assert found.operators == ["get_z", "a_b"]
    spans = [root(), span("answer", 10, 20)]
    found, _ = imported(capsys, tmp_path / "p", written(tmp_path, *spans))
    assert found.operators == ["op_answer"]
    assert found.requests["op_answer_transfer_s"].to_list() == pytest.approx([0.01])


def test_an_operator_that_a_request_skips_is_null_and_can_be_calibrated(capsys, tmp_path):
    spans = [root(), span("a", 10, 20), span("b", 30, 40)]
    spans += [root(2), span("b", 60, 75, trace=2)]
    found, _ = imported(capsys, tmp_path / "o", written(tmp_path, *spans))
    assert found.requests["a_compute_s"].to_list() == [pytest.approx(0.01), None]
    times = calibrate([found])[TIMES]
    assert times["batches"].to_list() == [1, 2]
    assert times["mean_s"].to_list() == pytest.approx([0.01, 0.0125])


def test_clocks_of_hosts_may_differ_a_little(capsys, tmp_path):
    spans = [root(), span("a", 10, 20), span("b", 19, 40)]
    found, _ = imported(capsys, tmp_path / "o", written(tmp_path, *spans))
    assert found.requests["b_transfer_s"].to_list() == [0.0]


def test_replicas_without_a_name_are_as_many_as_are_busy_at_once(capsys, tmp_path):
    spans = []
    for trace, at in ((1, 0), (2, 5), (3, 50)):
        spans += [root(trace), span("a", at, at + 10, trace=trace)]
    found, _ = imported(capsys, tmp_path / "o", written(tmp_path, *spans))
    assert found.description["pipeline"]["operators"][0]["replicas"] == 2
    # Added up as floats, the first span ends after the second begins.
    spans = [root(1, 400), root(2, 400), span("a", 100, 300), span("a", 300, 350, trace=2)]
    found, _ = imported(capsys, tmp_path / "p", written(tmp_path, *spans))
    assert found.description["pipeline"]["operators"][0]["replicas"] == 1


def test_incomplete_traces_are_left_out_and_counted(capsys, tmp_path):
    spans = [root(), span("a", 10, 20), root(2), root(3), span("other", 0, 5, None, 3)]
    found, told = imported(capsys, tmp_path / "o", written(tmp_path, *spans))
    assert found.requests.height == 1
    err = " ".join(told.err.split())
    assert "1 of 3 traces are left out, because they have no span without a parent" in err
    assert "1 of 3 traces are left out, because they have no span of an operator" in err


def test_a_root_whose_caller_is_not_in_the_file_is_a_request(capsys, tmp_path):
    caller = {"parentSpanId": "00000000000000aa"}
    found, _ = imported(
        capsys, tmp_path / "o", written(tmp_path, root() | caller, span("a", 10, 20))
    )
    assert found.requests["latency_s"].to_list() == pytest.approx([0.1])


BAD = {
    "is not JSON": "traces",
    "an object has no resourceSpans": '{"spans": []}',
    "must contain JSON objects, as an exporter of OTLP JSON writes": "[]",
    "spans.json: has no spans": '{"resourceLogs": []}',
    "resourceSpans must be a list of objects": '{"resourceSpans": {"a": 1}}',
}


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_is_no_otlp_is_refused(capsys, tmp_path, message):
    path = tmp_path / "spans.json"
    path.write_text(BAD[message])
    assert message in refused(capsys, tmp_path, path)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([span("root", 0, 9, "a"), span("a", 1, 2)], "none of the 1 traces has one root span"),
        ([root(status={"code": 2})], "each of the 1 traces has a root span of status error"),
        ([root()], "no trace has a span below its root; name the spans of operators"),
        ([root() | {"traceId": "abc"}], "traceId of span 'root' must be 16 bytes.*it is abc"),
        ([root() | {"spanId": ""}], "span 'root' has no spanId"),
        ([root() | {"startTimeUnixNano": "soon"}], "must have startTimeUnixNano.* it is soon"),
        ([root() | {"endTimeUnixNano": 0} | {"startTimeUnixNano": 5}], "ends before it starts"),
        ([root(), span("a", 1, 50), span("b", 1, 50)], "'a' and 'b' overlap.*--operator b=SPAN"),
        (
            [root(), span("a", 1, 5), span("a", 7, 9) | {"spanId": "1" * 16}],
            "several spans 'a', but a request visits an operator once",
        ),
        ([root(), span("a-b", 1, 5), span("a.b", 7, 9)], "'a-b' and 'a.b' would both be operator"),
        (
            [root(), span("a", 1, 5, **attribute("batch.size", doubleValue=1.5))],
            "attribute batch.size of span 'a' must be a whole number of 1 or more; it is 1.5",
        ),
        (
            [root(), span("a", 1, 5, **attribute("queueing_s", stringValue="5 ms"))],
            "attribute queueing_s of span 'a' must be a number of seconds",
        ),
        (
            [root(), span("a", 1, 5, **attribute("batch.size", intValue="many"))],
            "attribute batch.size must be of kind intValue; it is many",
        ),
    ],
)
def test_spans_that_tell_no_request_are_refused(capsys, tmp_path, spans, message):
    assert re.search(message, refused(capsys, tmp_path, written(tmp_path, *spans)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--operator", "read=raed"], "--operator read=raed: no span has this name.*'read'"),
        (["--operator", "Read=read"], "--operator Read=...: a name must have lower-case"),
        (["--operator", "answer=read"], "--operator answer=...: tables call the way of the answer"),
        (["--operator", "a=read", "--operator", "b=read"], "names a span of two operators"),
        (["--attribute", "bach=n"], "--attribute bach=...: no such part.*'batch'"),
        (["--operator", "read"], "--operator=read: must have the form NAME=SPAN"),
        (
            ["--operator", "read=read", "--operator", "read=raed"],
            "--operator=read=raed: read has the value read already",
        ),
        (
            ["--attribute", "batch=n", "--attribute", "batch=m"],
            "--attribute=batch=m: batch has the value n already",
        ),
        (["--cores", "0"], "--cores=0: must be 1 or more"),
        (["--served", "t"], "--served=t: otel-spans writes an observation to --out"),
    ],
)
def test_bad_options_are_told_in_one_sentence(capsys, tmp_path, words, message):
    assert re.search(message, refused(capsys, tmp_path, LINES, *words))


def test_an_observation_is_not_overwritten(capsys, tmp_path):
    imported(capsys, tmp_path / "a", LINES)
    assert main(["import", "otel-spans", str(LINES), "--out", str(tmp_path / "a")]) == 2
    assert "has an observation; name another directory" in capsys.readouterr().err
    assert main(["import", "otel-spans", str(LINES)]) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_columns_are_those_of_other_observations(capsys, tmp_path):
    found, _ = imported(capsys, tmp_path / "a", LINES)
    assert found.requests.schema["read_batch"] == pl.Int64
    assert found.requests["read_cpu_s"].is_null().all()
    assert found.noise.is_empty()
