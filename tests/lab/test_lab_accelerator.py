"""``compass-lab accelerator``, the guide, and runs on boards that are declared in one file."""

import re
import shlex
from pathlib import Path

import pytest
from pages import blocks, commands

from hardware_models.predictors import PREDICTORS
from lab import run
from lab.cli.tools import main
from lab.hardware_tools import validation_page

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "hardware_models" / "data" / "accelerators"
GUIDE = (ROOT / "docs" / "how_to" / "adding_an_accelerator.md").read_text(encoding="utf-8")
[EXAMPLE] = blocks(GUIDE, "toml")
COMMANDS = [shlex.split(line) for line in commands(GUIDE)]
RUNS = [words[1:] for words in COMMANDS if words[0] == "compass-sim"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_board.toml").write_text(EXAMPLE, encoding="utf-8")
    return tmp_path


def test_the_guide_s_board_is_checked_and_shown(capsys):
    assert ["compass-lab", "accelerator", "my_board.toml"] in COMMANDS
    assert main(["accelerator", "my_board.toml"]) == 0
    said = capsys.readouterr().out
    for part in ("My-96GB of Example", "resnet50", "scaled", "full", "example-1", "on-demand"):
        assert part in said
    assert "speed.1: a lone request is bound by kernel launches" in said
    assert "tables.accelerators=my_board.toml cluster.nodes.cloud.machine=example-1" in said


def test_mistakes_are_told_line_by_line(capsys, folder):
    wrong = EXAMPLE.replace("memory_gb", "memroy_gb").replace("gpus = 1", "gpus = 0")
    (folder / "my_board.toml").write_text(wrong, encoding="utf-8")
    assert main(["accelerator", "my_board.toml"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    example = " ".join(re.search(r"^compass-lab: my_board.*?'\?$", GUIDE, re.S | re.M)[0].split())
    assert example in said


def test_a_file_of_the_package_writes_the_page_of_sources_anew(folder, capsys, monkeypatch):
    """The page with all predictors is compared with the shipped one in test_lab_validate."""
    monkeypatch.setattr(validation_page, "PREDICTORS", PREDICTORS[:1])
    monkeypatch.setattr(validation_page, "link_rows", lambda: iter(()))
    (folder / "docs" / "evidence").mkdir(parents=True)
    page = folder / "docs" / "evidence" / "validation.md"
    page.touch()
    assert main(["accelerator", str(SHIPPED / "h200.toml")]) == 0
    assert "wrote docs/evidence/validation.md" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert text == validation_page.page()
    for name in ("H200-141GB", "B200-180GB", "MI300X"):
        assert f"| {name} | price |" in text


def test_the_guide_names_all_three_boards():
    machines = {word for words in RUNS for word in words if ".machine=" in word}
    assert len(machines) == len(RUNS) == 4


EXPERIMENTS = ("tracking_small", 0.05, 100), ("coding_hours", 0.005, 1000)


@pytest.mark.parametrize(
    ("words", "experiment", "rate", "horizon_s"),
    [
        pytest.param(
            *(words, *experiment),
            marks=[] if (at + number) % 2 == 0 else pytest.mark.slow,
            id=f"{words[-1]}-{experiment[0]}",
        )
        for at, words in enumerate(RUNS)
        for number, experiment in enumerate(EXPERIMENTS)
    ],
)
def test_both_kinds_of_operators_run_on_every_board(words, experiment, rate, horizon_s):
    """On the board of each command in the guide; detectors in one, language models in the other.

    Frames reach no machine in time where links are as slow as in traces.
    """
    result = run(
        [
            f"experiment={experiment}",
            "planner=greedy",
            "cluster=cloud_only",
            "network.capacity=speed_tests",
            f"workload.rate={rate}",
            f"horizon_s={horizon_s}",
            *(word for word in words if not word.startswith(("experiment=", "planner="))),
        ]
    )
    node = result.scenario.cluster.nodes["cloud"]
    assert node.gpu_board in {"H200-141GB", "B200-180GB", "MI300X", "My-96GB"}
    assert node.gpu_price_usd_per_hour > 0
    assert result.summary["deployments_assumed"] > 0
    assert result.summary["deployment_cost_usd"] > 0
    plans = "".join(map(str, result.decisions["plan"]))
    assert any(f"{profile}" in plans for profile in node.all_gpu_profiles)
