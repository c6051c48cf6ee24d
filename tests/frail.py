"""Planners that are killed in the middle of planning, as source of modules, to test resuming."""

FRAIL = """
import os, signal, time
from pathlib import Path
from planners import {base}

class FrailContext:
    def __init__(self, context):
        self.context = context
    def __getattr__(self, name):
        return getattr(self.context, name)
    def profile(self, query, what, samples):
        estimate = self.context.profile(query, what, samples)
        asks = not isinstance(samples, int) or samples > 0  # and does not only read what is known
        if asks and Path("kill_after").exists():
            left = int(Path("kill_after").read_text()) - 1
            Path("kill_after").write_text(str(left))
            if left == {pause_at}:
                time.sleep(1.1)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if Path("stop").exists():
            signal.raise_signal(signal.SIGINT)
        return estimate

class Frail({base}):
    def plan(self, context):
        super().plan(FrailContext(context))
"""


def frail(base: str, pause_at: int) -> str:
    """Return a module with a planner ``Frail`` that kills its own process, as kill -9 does.

    It does so after as many profiles as the file ``kill_after`` says, one of which takes a second,
    as it may on machines of one's own; and is interrupted while there is a file ``stop``.

    Args:
        base: the planner that it otherwise is.
        pause_at: how many profiles before the end the slow one is.
    """
    return FRAIL.format(base=base, pause_at=pause_at)
