"""The page on leaderboards: its example is complete and runs, and it lists every key."""

import re
from pathlib import Path

import pytest
import yaml
from pages import blocks

from lab.cli.tools import main
from lab.leaderboard.confinement import PROCESSES
from lab.leaderboard.instructions import LEAST_RANDOM, Instructions, Limits, read_instructions
from lab.leaderboard.submissions import find_submissions

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "how_to" / "running_a_leaderboard.md").read_text(encoding="utf-8")
YAML, PYTHON = blocks(PAGE, "yaml"), blocks(PAGE, "python")


def example(directory, **changes):
    """Write the page's example, with some keys of the instructor's file changed."""
    (directory / "submissions").mkdir()
    instructions = yaml.safe_load(YAML[0]) | changes
    (directory / "leaderboard.yaml").write_text(yaml.safe_dump(instructions))
    named = re.findall(r"`submissions/(\w+\.\w+)`", PAGE)
    for name, text in zip(named, [PYTHON[0], YAML[1], PYTHON[1]], strict=True):
        (directory / "submissions" / name).write_text(text)
    return directory


def test_the_example_is_complete(tmp_path):
    place = example(tmp_path)
    found = read_instructions(place / "leaderboard.yaml")
    submissions = find_submissions(place, found.baselines)
    assert [each.name for each in submissions] == ["alice", "bob", "carol"]
    runs = len(found.regimes) * len(found.seeds) * (len(submissions) + len(found.baselines))
    assert f"makes {runs} runs" in PAGE
    assert "compass-lab check-planner alice." + re.findall(r"class (\w+)", PYTHON[0])[0] in PAGE


def test_the_page_lists_every_key_with_its_default():
    listed = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", PAGE, re.M))
    keys = {name: one for name, one in Instructions.model_fields.items() if name != "limits"}
    keys |= {f"limits.{name}": one for name, one in Limits.model_fields.items()}
    assert listed.keys() == keys.keys()
    for name, one in keys.items():
        if not one.is_required():
            assert yaml.safe_load(listed[name].strip("`")) == one.default


def test_the_page_quotes_the_limits_of_the_code():
    assert f"{PROCESSES} processes and threads" in re.sub(r"\s+", " ", PAGE)
    assert LEAST_RANDOM == 10**12
    assert "10^12" in PAGE


@pytest.mark.slow
def test_the_example_runs(tmp_path, capsys):
    limits = {"start_s": 120, "call_s": 60, "run_s": 300}
    regimes = {"usual": ["experiment=speech_small", "horizon_s=120"]}
    place = example(tmp_path, seeds=[1013, 1187], regimes=regimes, limits=limits)
    carol = place / "submissions" / "carol.py"
    assert main(["leaderboard", str(place)]) == 0
    out = capsys.readouterr().out
    assert "carol: 2 of 2 runs failed, the first in regime usual: one call of it took" in out
    assert not re.search(r"^(alice|bob): ", out, re.M)
    assert carol.exists()
