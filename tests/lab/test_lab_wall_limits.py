"""A run that takes too long is ended; the others go on."""

import json
import re
import signal
import sys
from pathlib import Path

import pytest
from command_line import GREEDY, SHORT
from frail import tables

from lab import run
from lab.common.errors import InputError
from sim.dataplane.base.interface import OUTCOMES

LOOPING = """
import time
from planners import CheapestFeasible
class Looping(CheapestFeasible):
    def __init__(self, tries: int = 1, from_s: float = 30.0):
        self.tries, self.from_s, self.samples = tries, from_s, 10
    def plan(self, context):
        left = self.tries
        while context.now_s > self.from_s and left:
            try:
                while True:
                    time.sleep(0.01)  # unlike a loop, takes no processor time
            except Exception:
                pass
            except BaseException:
                left -= 1
                if not left:
                    raise
        super().plan(context)
"""


LOOPS = "planner._target_=looping_pkg.Looping"


def test_a_run_that_takes_too_long_is_ended_and_the_sweep_goes_on(compass):
    Path("looping_pkg.py").write_text(LOOPING)
    run(SHORT)  # What is compiled, or loaded, is to take no time of it.
    words = ["-m", LOOPS, "+planner.from_s=30,1e9", "hydra.sweep.dir=sweep"]
    handler = signal.getsignal(signal.SIGALRM)
    status, _, err = compass(*words, "max_wall_s=2")
    assert status == 1
    sentence = Path("sweep/0/error.txt").read_text()
    [reached] = re.fullmatch(
        r"max_wall_s=2: the run of Looping reached this limit in looping_pkg.py:\d+ at (\S+) of "
        r"60 simulated s; the results until then are kept\n",
        sentence,
    ).groups()
    assert sentence in err
    assert "Traceback" not in err
    assert "1 of 2 jobs failed: 0;" in err
    summary = json.loads(Path("sweep/0/summary.json").read_text())
    assert summary["status"] == "failed"
    assert 30 < summary["simulated_s"] == pytest.approx(float(reached), abs=1e-3)
    assert summary["requests"] == sum(summary[end] for end in OUTCOMES)
    assert json.loads(Path("sweep/1/summary.json").read_text())["status"] == "finished"
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    Path("looping_pkg.py").write_text(LOOPING.replace("while context", "while False and context"))
    sys.modules.pop("looping_pkg")
    again = ["resume=true", "max_wall_s=600"]  # Another limit is no other sweep.
    status, _, err = compass(*words, *again)
    assert (status, err) == (0, "")
    assert not Path("sweep/0/error.txt").exists()


@pytest.mark.slow
def test_a_planner_that_takes_too_long_does_not_stop_the_others(compass, monkeypatch):
    monkeypatch.setattr("lab.limits.wall_limit.AGAIN_S", 0.1)
    Path("catching_pkg.py").write_text(LOOPING)
    run([*SHORT, "planner=videostorm"])
    status, _, err = compass(
        "planner.compare.cheapest_feasible._target_=catching_pkg.Looping",
        "~planner.compare.cheapest_feasible.budget_s",
        "~planner.compare.cheapest_feasible.samples",
        "~planner.compare.compass",
        "+planner.compare.cheapest_feasible.tries=2",  # It catches the first attempt to end it.
        "max_wall_s=2",
        "hydra.run.dir=here",
    )
    assert status == 1, err
    assert (
        "max_wall_s=2: the run of cheapest_feasible reached this limit in catching_pkg.py:" in err
    )
    summaries = json.loads(Path("here/summary.json").read_text())
    assert {name: one["status"] for name, one in summaries.items()} == {
        "cheapest_feasible": "failed",
        "videostorm": "finished",
    }


@pytest.mark.slow
def test_a_second_run_whose_limit_is_not_reached_has_the_same_bytes(compass):
    outcomes = []
    for where, words in (("without", []), ("with", ["max_wall_s=600"])):
        assert compass(GREEDY, f"hydra.run.dir={where}", *words)[0] == 0
        outcomes.append(tables(Path(where)))
    assert outcomes[0] == outcomes[1]


def test_a_limit_that_cannot_be_kept_is_refused():
    for limit in ("0", "-1"):
        with pytest.raises(InputError, match=f"max_wall_s={limit}: must be above 0 s, or null"):
            run([*SHORT, f"max_wall_s={limit}"])
        with pytest.raises(InputError, match=f"max_call_s={limit}: must be above 0 s, or null"):
            run([*SHORT, f"max_call_s={limit}"])
    with pytest.raises(InputError, match=r"max_wall_s=1e\+308: must be 1e\+08 s or less"):
        run([*SHORT, "max_wall_s=1e308"])
