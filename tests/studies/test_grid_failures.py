"""Runs that cannot be made, and processes that are killed while they make them."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.common.errors import InputError
from lab.run_cache.jobs import Job, RunError, make
from lab.runs.api import Result

RUN = ("experiment=speech_small", "horizon_s=30", "planner=static_plan")


def killed(result: Result) -> Mapping[str, Any]:
    """Kill the process that simulated, as a system that is short of memory does."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {"seed_was": result.seed}


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^a process was killed, .*; finished runs are kept in "):
        make([Job(RUN, 0, killed)], 2, tmp_path)


def test_overrides_that_cannot_be_run_are_refused_before_any_run(tmp_path: Path) -> None:
    jobs = [Job(RUN, 0, killed), Job((*RUN, "cluster.nodes.edge.standby=9"), 0, killed)]
    with pytest.raises(InputError, match=r"cluster\.nodes\.edge\.standby=9"):
        make(jobs, 1, tmp_path)
    assert not any(tmp_path.iterdir())
