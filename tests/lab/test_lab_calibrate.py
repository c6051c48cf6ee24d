"""``compass-lab calibrate`` measures what it runs, and writes rows that tables take."""

import os
import re
import sys
from time import sleep

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from hardware_models.tables import TableSet, UserTable, load_table, using_tables
from lab.cli.tools import main
from lab.common.errors import InputError
from lab.hardware_tools.calibration import Protocol, Subject, measure, median_interval

HERE = f"{__name__}"
calls: list[int] = []


def nap(batch: int) -> None:
    """Take 2 ms for each member of a batch."""
    calls.append(batch)
    sleep(0.002 * batch)


def fail(batch: int) -> None:
    raise RuntimeError("out of\nmemory")


OWN = """
import os
from pathlib import Path
from time import sleep


def log(batch):
    with Path(f"log-{os.getpid()}").open("a") as log:
        log.write(f"{batch}\\n")
    sleep(0.002)


def fail(batch):
    raise RuntimeError("out of memory")


def die(batch):
    os._exit(3)
"""


@pytest.fixture
def folder(folder):
    (folder / "calibrated_pkg.py").write_text(OWN)
    (folder / "left_pkg.py").write_text("import sys\nsys.exit('gone')\n")
    return folder


@pytest.fixture(autouse=True)
def _fresh():
    calls.clear()


@given(st.integers(1, 200), st.floats(0.5, 0.999))
def test_the_interval_of_a_median_is_the_narrowest_that_covers_it(n, confidence):
    samples = np.arange(1.0, n + 1)

    def coverage(rank):
        return 1 - 2 * binom.cdf(rank - 1, n, 0.5)

    if coverage(1) < confidence or n < 2:
        with pytest.raises(ValueError, match="too few"):
            median_interval(samples, confidence)
        return
    low, high = median_interval(samples[::-1], confidence)
    assert low + high == n + 1  # ranks from either end
    assert low <= np.median(samples) <= high
    assert coverage(low) >= confidence
    assert low + 1 > n // 2 or coverage(low + 1) < confidence


def test_the_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(5)
    draws = generator.lognormal(size=(500, 10))  # their median is 1
    covered = [low <= 1 <= high for low, high in (median_interval(one, 0.95) for one in draws)]
    assert np.mean(covered) == pytest.approx(1 - 2 * binom.cdf(1, 10, 0.5), abs=0.012)


def test_a_callable_is_warmed_up_and_timed_batch_by_batch():
    timings = measure(Subject("callable", f"{HERE}:nap"), [1, 4], Protocol(warmup=2, repeats=6))
    assert calls == [1] * 8 + [4] * 8
    for one, batch in zip(timings, (1, 4), strict=True):
        assert (one.batch, one.timed) == (batch, 6)
        assert 2 * batch <= one.least_ms <= one.low_ms <= one.median_ms <= one.high_ms
        assert one.high_ms <= one.most_ms
        assert one.least_ms <= one.mean_ms <= one.most_ms


def test_a_command_is_run_with_its_batch(folder):
    code = "import sys; open('seen', 'a').write(sys.argv[1] + ' ')"
    (folder / "one batch.py").write_text(code)
    command = f"{sys.executable} 'one batch.py' {{batch}}"
    measure(Subject("command", command), [3, 5], Protocol(warmup=0, repeats=2, confidence=0.5))
    assert (folder / "seen").read_text() == "3 3 5 5 "


def test_processes_run_at_the_same_time(folder):
    protocol = Protocol(warmup=1, repeats=4, processes=2)
    [timing] = measure(Subject("callable", "calibrated_pkg:log"), [7], protocol)
    assert timing.timed == 8
    logs = list(folder.glob("log-*"))
    assert len(logs) == 2
    assert f"log-{os.getpid()}" not in {log.name for log in logs}
    for log in logs:  # as many as timed, and more while the other was still at it
        assert len(log.read_text().split()) >= 5


@pytest.mark.parametrize(
    ("kind", "text", "processes", "message"),
    [
        ("callable", "nowhere", 1, "must have the form package.module:function"),
        ("callable", "no_pkg:run", 1, r"no_pkg cannot be imported \(ModuleNotFoundError: No mod"),
        ("callable", "calibrated_pkg:lug", 1, "has no such callable; did you mean 'log'"),
        ("callable", "calibrated_pkg:fail", 1, r"at batch 2 \(RuntimeError: out of memory\)"),
        ("callable", "calibrated_pkg:fail", 2, r"at batch 2 \(RuntimeError: out of memory\)"),
        ("callable", "builtins:exit", 1, r"failed at batch 2 \(SystemExit: 2\)"),
        ("callable", "builtins:exit", 2, r"failed at batch 2 \(SystemExit: 2\)"),
        ("callable", "left_pkg:run", 1, r"left_pkg cannot be imported \(SystemExit: gone\)"),
        ("callable", "calibrated_pkg:die", 2, "a process was killed at batch 2"),
        ("command", "true", 1, r"must contain \{batch\}"),
        ("command", "no-such-program {batch}", 1, "cannot be run"),
        ("command", "ls /no/such/{batch}", 1, "ended with status 2 at batch 2: .*/no/such/2"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_sentence(folder, kind, text, processes, message):
    with pytest.raises(InputError, match=message) as error:
        measure(Subject(kind, text), [2], Protocol(processes=processes))
    assert str(error.value).startswith(f"--{kind}={text}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"repeats": 5}, "--repeats=5: too few .* confidence 0.95; use at least 6"),
        ({"repeats": 7, "confidence": 0.99}, "use at least 8"),
        ({"repeats": 1, "processes": 2}, "use at least 3"),
        ({"warmup": -1}, "--warmup=-1: must be at least 0"),
        ({"processes": 0}, "--processes=0: must be at least 1"),
        ({"confidence": 1.0}, "--confidence=1.0: must lie between 0 and 1"),
    ],
)
def test_a_protocol_that_gives_no_interval_is_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        Protocol(**parameters)


def test_the_least_repeats_that_are_asked_for_suffice():
    for confidence in (0.5, 0.9, 0.95, 0.99, 0.999):
        for repeats in range(1, 40):
            try:
                Protocol(repeats=repeats, confidence=confidence)
            except InputError:
                with pytest.raises(ValueError, match="too few"):
                    median_interval(np.arange(repeats), confidence)
            else:
                median_interval(np.arange(max(repeats, 2)), confidence)


CALIBRATE = ["calibrate", "--callable", f"{HERE}:nap", "--model", "nap", "--gpu", "A100-80GB"]


def test_rows_can_be_merged_into_the_table(tmp_path, refused):
    out = tmp_path / "rows.csv"
    more = ["--repeats", "6", "--out", str(out)]
    assert main([*CALIBRATE, "--batches", "1,3", *more, "--slices", "2"]) == 0
    assert main([*CALIBRATE, "--batches", "2", *more, "--append"]) == 0
    rows = pl.read_csv(out)
    assert rows["batch"].to_list() == [1, 3, 2]
    assert rows["mig_gpcs"].to_list() == [2, 2, 7]
    assert (rows["ci_low_ms"] <= rows["batch_latency_ms"]).all()
    assert (rows["batch_latency_ms"] <= rows["ci_high_ms"]).all()
    assert rows["repeats"].to_list() == [6, 6, 6]
    with using_tables(TableSet({"gpu_latency": UserTable(str(out))})):
        merged = load_table("gpu_latency")
    assert merged.height == load_table("gpu_latency").height + 3
    assert set(merged.filter(pl.col("model") == "nap")["kind"]) == {"measured"}
    calls.clear()
    assert "already exists" in refused(*CALIBRATE, "--batches", "2", *more)
    assert "keys must be unique" in refused(*CALIBRATE, "--batches", "2", *more, "--append")
    assert pl.read_csv(out).height == 3
    assert calls == []


def test_a_device_is_calibrated_in_its_own_table(capsys, refused):
    words = ["calibrate", "--callable", f"{HERE}:nap", "--table", "device_latency", "--repeats=6"]
    assert main([*words, "--model", "nap", "--device", "My board", "--threads", "4"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    one = dict(zip(header.split(","), row.split(","), strict=False))
    assert (one["device"], one["threads"]) == ("My board", "4")
    assert 2 <= float(one["min_ms"]) <= float(one["avg_ms"]) <= float(one["max_ms"])
    assert "--device is required" in refused(*words, "--model", "nap")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batches", "1,two"], "--batches=1,two: must be different whole numbers"),
        (["--batches", "0"], "--batches=0: must be different whole numbers"),
        (["--table", "gpu_latencies"], "--table=gpu_latencies: .*did you mean 'gpu_latency'"),
        (
            ["--table", "device_latency", "--device", "d", "--batches", "2"],
            "--batches=2: must be 1",
        ),
        (["--source-url", "ftp://here"], "column 'source_url': 'ftp://here' is not allowed"),
        (["--slices", "9"], "column 'mig_gpcs': 9 is not allowed"),
    ],
)
def test_bad_input_is_told_in_one_sentence(refused, words, message):
    assert re.search(message, refused(*CALIBRATE, "--repeats=6", *words))
    assert calls == []  # told before anything is measured


def test_the_help_says_that_the_callable_waits_for_the_gpu(capsys):
    with pytest.raises(SystemExit):
        main(["calibrate", "--help"])
    assert "synchronize" in capsys.readouterr().out
