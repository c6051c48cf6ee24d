"""Runs are kept line by line, whoever else writes or has written there."""

import json
import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from lab.run_cache.store import KeptRuns

LONG = "x" * 100_000


def keep(directory: Path, process: int) -> None:
    kept = KeptRuns(directory)
    for number in range(40):
        kept.keep(f"{process} {number}", {"value": process, "text": LONG})


def test_processes_that_keep_runs_at_once_keep_them_whole(tmp_path: Path) -> None:
    processes = [get_context("spawn").Process(target=keep, args=(tmp_path, at)) for at in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    rows = KeptRuns(tmp_path).rows()
    assert {key: row["value"] for key, row in rows.items()} == {
        f"{at} {number}": at for at in range(2) for number in range(40)
    }


def test_a_run_is_written_at_once(tmp_path: Path, monkeypatch) -> None:
    written = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, text: written.append(text) or write(file, text))
    KeptRuns(tmp_path).keep("mine", {"value": 1})
    [line] = written
    assert json.loads(line) == {"key": "mine", "measured": {"value": 1}}
    assert line.startswith(b"\n")


@pytest.mark.parametrize(
    "line", ["7", "[1]", '"text"', "null", "{}", '{"key": "x"}', '{"key": "x", "measured": 1}', "{"]
)
def test_what_is_no_run_counts_for_nothing(line: str, tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text(line)
    kept = KeptRuns(tmp_path)
    assert not kept.rows()
    kept.keep("mine", {"value": 1})
    assert KeptRuns(tmp_path).rows() == {"mine": {"value": 1}}


def test_only_what_was_appended_is_read_again(tmp_path: Path, monkeypatch) -> None:
    ours, theirs = KeptRuns(tmp_path), KeptRuns(tmp_path)
    theirs.keep("first", {"value": 1})
    assert ours.rows() == {"first": {"value": 1}}
    theirs.keep("second", {"value": 2})
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: parsed.append(line) or loads(line))
    assert set(ours.rows()) == {"first", "second"}
    assert len([line for line in parsed if line]) == 1


def test_runs_are_kept_on_where_outputs_were_cleared(tmp_path: Path) -> None:
    ours, theirs = KeptRuns(tmp_path), KeptRuns(tmp_path)
    for number in range(3):
        ours.keep(f"{number}", {"value": number})
    assert len(ours.rows()) == 3
    (tmp_path / "runs.jsonl").unlink()
    theirs.keep("new", {"value": 9})
    assert ours.rows()["new"] == {"value": 9}
