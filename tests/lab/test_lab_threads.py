"""Linear algebra uses one thread wherever a planner runs, whatever it is set to outside."""

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
def test_it_does(plan):
    SEEN.clear()
    with threadpool_limits(2, user_api="blas"):
        plan()
        assert {1} == SEEN
        assert threads() == {2}, "as before"
