"""Kept runs: each is made once, whatever else is in their directory."""

from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_load

from lab.run_cache import jobs as run_jobs
from lab.run_cache.jobs import Job, make
from lab.runs.api import Result
from lab.runs.run_directory import CONFIG, SUMMARY, read_summary, write_summary
from studies.common.measures import totals

RUN = ("experiment=speech_small", "horizon_s=60", "planner=static_plan")


def infinite(result: Result) -> Mapping[str, Any]:
    """Measure what JSON proper has no number for."""
    return {"late_s": float("inf"), "seed_was": result.seed}


def kept_in(cache: Path) -> Path:
    [directory] = (cache / "runs").iterdir()
    return directory


def test_a_kept_run_is_a_run_directory_without_tables(tmp_path: Path) -> None:
    job = Job(RUN, 3, totals)
    make([job], 1, tmp_path)
    directory = kept_in(tmp_path)
    assert directory.name == job.key
    assert {path.name for path in directory.iterdir()} == {CONFIG, SUMMARY}
    config = safe_load((directory / CONFIG).read_text())
    assert (config["seed"], config["horizon_s"]) == (3, 60)
    assert read_summary(directory)["status"] == "finished"


@pytest.mark.parametrize("text", ["7", "[1]", "null", "{}", '{"measured": 1}', ""])
def test_a_directory_that_is_no_run_is_ignored(text: str, tmp_path: Path, monkeypatch) -> None:
    job = Job(RUN, 0, infinite)
    (tmp_path / "runs" / job.key).mkdir(parents=True)
    (tmp_path / "runs" / job.key / SUMMARY).write_text(text)
    monkeypatch.setattr(run_jobs, "_made", lambda missing, *_: ((key, {"x": 1}) for key in missing))
    assert make([job], 1, tmp_path) == [{"seed": 0, "x": 1}]


def test_a_run_that_is_kept_is_not_made_again_unless_it_is_spoiled(tmp_path: Path) -> None:
    job = Job(RUN, 0, totals, {"planner": "static_plan"})
    [made] = make([job], 1, tmp_path)
    assert made["planner"] == "static_plan"
    assert made["queries"] > 0
    summary = read_summary(kept_in(tmp_path))
    summary["measured"]["goodput"] = 123.0
    write_summary(kept_in(tmp_path), summary)
    [again] = make([job], 1, tmp_path)
    assert again["goodput"] == 123.0
    (kept_in(tmp_path) / SUMMARY).write_text('{"measured": {"')
    first, second = make([job, Job(RUN, 1, totals)], 1, tmp_path)
    took = {"run_core_s": made["run_core_s"]}  # which no two runs share
    assert first | took == made
    assert second["requests"] != made["requests"]


def test_what_is_infinite_is_kept_as_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        [row] = make([Job(RUN, 0, infinite)], 1, tmp_path)
        assert (row["late_s"], row["seed_was"]) == (float("inf"), 0)


def make_three(cache: Path, together: Any) -> None:
    together.wait(60)
    rows = make([Job(RUN, seed, infinite) for seed in range(3)], 1, cache)
    assert [row["seed_was"] for row in rows] == list(range(3))


@pytest.mark.slow
def test_commands_that_make_the_same_runs_at_once_keep_them_whole(tmp_path: Path) -> None:
    """Another process and this one start at the same moment."""
    spawning = get_context("spawn")
    together = spawning.Barrier(2)
    process = spawning.Process(target=make_three, args=(tmp_path, together))
    process.start()
    make_three(tmp_path, together)
    process.join()
    assert process.exitcode == 0
    kept = [read_summary(directory) for directory in (tmp_path / "runs").iterdir()]
    assert sorted(one["measured"]["seed_was"] for one in kept) == list(range(3))


def test_a_full_disk_ends_the_runs(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "summary.json")

    monkeypatch.setattr(run_jobs, "write_aside", full)
    with pytest.raises(OSError, match="No space left"):
        make([Job(RUN, seed, totals) for seed in (0, 1)], 1, tmp_path)


def test_a_job_is_named_by_its_labels_and_seed() -> None:
    assert str(Job(RUN, 2, totals, {"planner": "greedy", "rate": 0.5})) == "greedy, 0.5, seed 2"
