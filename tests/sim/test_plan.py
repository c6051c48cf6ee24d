"""Plans as keys: equal plans are the same key, also from another process."""

import os
import pickle
import subprocess
import sys

import pytest

from scenarios.applications.application import Configuration
from sim.api.plan import Allocation, Plan


@pytest.mark.slow
def test_a_plan_from_another_process_is_the_same_key():
    """Texts have another hash in each process."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    code = (
        "import pickle, sys\n"
        "from scenarios.applications.application import Configuration\n"
        "from sim.api.plan import Allocation, Plan\n"
        "plan = Plan(Configuration(0, ('tiny',)), ('cloud',), (Allocation('core'),))\n"
        "sys.stdout.buffer.write(pickle.dumps(plan))"
    )
    theirs = pickle.loads(
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )
    ours = Plan(Configuration(0, ("tiny",)), ("cloud",), (Allocation("core"),))
    assert len({ours, theirs}) == 1
