"""Submissions of tests, and their planners in processes of their own."""

from contextlib import contextmanager
from textwrap import indent

from lab.leaderboard.processes import PlannerProcess, bounds
from lab.leaderboard.remote_planner import RemotePlanner
from lab.leaderboard.submissions import Submission

WORLD = ["experiment=speech_small", "horizon_s=20", "workload.rate=0.2", "seed=1201"]
SERVED = ["experiment=speech_small", "switching=free", "horizon_s=100", "workload.rate=0.1"]
"""A world in which queries are served well."""
LONG_S = 120.0
"""Limit of what should be quick, on a busy machine."""
PLANNER = """
from planners import CheapestFeasible
class Own(CheapestFeasible):
    def plan(self, context):
"""
ENDS = "super().plan(context)\n"


def planning(*code):
    """Return a submission whose method ``plan`` has some lines."""
    return PLANNER + indent("\n".join(code), " " * 8)


@contextmanager
def remote(tmp_path, source, call_s=LONG_S, start_s=LONG_S, suffix=".py"):
    """Yield the planner of a submission in its process, which ends with the body."""
    (tmp_path / "place").mkdir()
    path = tmp_path / f"own{suffix}"
    path.write_text(source)
    found = bounds(tmp_path / "place", 2.0, LONG_S)
    process = PlannerProcess(Submission("own", path), found, tmp_path / "errors.txt")
    try:
        planner = RemotePlanner(process, start_s, call_s)
        planner.load("own")
        yield planner
    finally:
        process.kill()
