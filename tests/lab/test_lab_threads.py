"""Linear algebra uses one thread wherever a planner runs, and the summary names its kernels."""

import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lab.runs.api import run
from sim import Planner, check_planner

SEEN: set[int] = set()


class Notes(Planner):
    """Serves nobody; notes with how many threads linear algebra works."""

    def plan(self, context):
        SEEN.update(threads())


def threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.mark.parametrize(
    "plan",
    [
        lambda: run(["experiment=speech_small", "horizon_s=60", "workload.rate=0.2"], Notes()),
        lambda: check_planner(Notes(), other_process=False),
    ],
    ids=["run", "check"],
)
def test_blas_has_one_thread_within_and_as_many_as_before_afterwards(plan):
    SEEN.clear()
    with threadpool_limits(2, user_api="blas"):
        plan()
        assert {1} == SEEN
        assert threads() == {2}, "as before"


def kernels(**environment):
    """Return what a process records, and what its libraries of linear algebra say."""
    code = (
        "from lab.version import versions; print(versions()['blas']);"
        "from threadpoolctl import threadpool_info as info;"
        "print(', '.join({one.get('architecture', '') for one in info()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_kernels_in_use_are_recorded():
    recorded, used = kernels(OPENBLAS_CORETYPE="Prescott")
    assert recorded
    if used:  # other libraries than OpenBLAS do not say
        assert recorded == used
