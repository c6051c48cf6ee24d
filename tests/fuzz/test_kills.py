"""Sweeps that are killed by SIGKILL go on to the same bytes, and leave no process behind.

``python -m tests.fuzz.kills`` makes as many kills as one wants.
"""

import sys
from importlib.util import find_spec

import pytest
from kills import LAUNCHERS, kills

NEEDS = {"basic": "hydra", "joblib": "hydra_plugins.hydra_joblib_launcher"}
NEEDS["ray"] = "hydra_plugins.hydra_ray_launcher"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it finds processes in /proc")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_killed_sweeps_resume_to_the_same_bytes_and_leave_no_process(launcher, tmp_path):
    if find_spec(NEEDS[launcher]) is None:
        pytest.skip(f"the {launcher} launcher is not installed")
    done = kills(launcher, 3, seed=1, directory=tmp_path)
    assert [each["failure"] for each in done] == [""] * 3
