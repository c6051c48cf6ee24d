"""The page on sweeps: its commands start what it says, and its examples run."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from pages import blocks, commands

from lab.runs.run_directory import SUMMARY

PAGE = (Path(__file__).parent.parent / "docs" / "how_to" / "sweeps.md").read_text(encoding="utf-8")
QUICK = ["horizon_s=5", "figures=false"]


@pytest.fixture
def launched(monkeypatch):
    """Return a list of what would be launched from now on: launchers and numbers of runs."""
    seen = []

    def launch(launcher, job_overrides, initial_job_idx):
        seen.append((type(launcher).__name__, len(job_overrides)))
        return []

    for name, found in Plugins.instance().class_name_to_class.items():
        if name.endswith((".BasicLauncher", ".JoblibLauncher")):
            monkeypatch.setattr(found, "launch", launch)
    return seen


@pytest.fixture
def compass(compass_sim):
    """Return a function that runs a command as the page writes it, but short."""
    return lambda command: compass_sim(*shlex.split(command)[1:], *QUICK)


def test_commands_start_as_many_runs_as_they_say(compass, launched):
    for line in commands(PAGE)[:3]:
        compass(line)  # No job runs, so all count as failed.
    assert launched == [("BasicLauncher", 20), ("JoblibLauncher", 100), ("JoblibLauncher", 50)]


@pytest.mark.slow
def test_the_sweep_that_is_resumed_is_and_another_is_refused(compass):
    first, again = next(text for text in blocks(PAGE, "") if "resume=true" in text).splitlines()
    assert compass(first)[0] == 0
    Path("multirun/mine/1", SUMMARY).unlink()
    assert compass(again)[1].count("nothing to do") == 1
    status, _, err = compass(again.replace("seed=0,1", "seed=0,2"))
    [shown] = [text for text in blocks(PAGE, "text") if text.startswith("compass-sim: ")]
    assert status == 2
    assert err == shown.replace("/home/me", str(Path.cwd()))


@pytest.mark.slow
def test_every_group_and_key_that_can_be_swept_is_one(compass, launched):
    rows = re.findall(r"^\| [\w ]+ \| (`.*`) \|$", PAGE, re.M)
    overrides = [one for row in rows for one in re.findall(r"`(\S+=\S+)`", row)]
    assert len(overrides) == 9
    for override in overrides:
        planner = "" if override.startswith("planner=") else "planner=vulcan"
        _, _, err = compass(f"compass-sim -m {planner} '{override}'")
        assert "jobs failed" in err, override  # None is run, but none is refused.
    assert len(launched) == len(overrides)


def test_the_loop_over_seeds_runs(capsys):
    [code] = blocks(PAGE, "python")
    exec(
        compile(
            code.replace("seeds=5", "seeds=2, overrides=['horizon_s=20']"), "sweeps.md", "exec"
        ),
        {},
    )
    assert "CheapestFeasible" in capsys.readouterr().out
