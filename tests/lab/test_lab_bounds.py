"""Small input that would become huge is refused at once, in one sentence."""

import json
import re

import pytest
from rows_by_hand import summary

from lab.cli.tools import main
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.runs.run_directory import load_config

SHORT = ["experiment=speech_small", "planner=greedy"]


def bomb(levels=6, width=9):
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    return "\n".join(lines)


SPOILT = {
    bomb(): "has more than 20,000 values, aliases included",
    bomb(30): "has more than 20,000 values, aliases included",
    "a: &a {b: *a}": "the alias *a refers to itself",
    "a: " + "[" * 900 + "]" * 900: "is nested more than 50 levels deep",
    "a: " + "{b: " * 60 + "1" + "}" * 60: "is nested more than 50 levels deep",
    "a: [" + "1, " * 30_000 + "1]": "has more than 20,000 values, aliases included",
    "a: " + "1" * 11_000_000: "is larger than 10,000,000 bytes",
}


@pytest.mark.parametrize(("text", "sentence"), SPOILT.items(), ids=range(len(SPOILT)))
def test_a_huge_experiment_file_is_refused(tmp_path, text, sentence):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    search = f"hydra.searchpath=['file://{tmp_path}']"
    with pytest.raises(InputError) as refused:
        compose([search, "experiment=mine"])
    assert str(refused.value) == f"{tmp_path}/experiment/mine.yaml: {sentence}"


@pytest.mark.parametrize(("text", "sentence"), SPOILT.items(), ids=range(len(SPOILT)))
def test_a_huge_configuration_of_results_is_refused(tmp_path, text, sentence):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        load_config(tmp_path / "config.yaml")
    assert str(refused.value) == f"{tmp_path}/config.yaml: {sentence}"


@pytest.mark.parametrize("name", ["config.yaml", "jobs.yaml", "summary.json"])
@pytest.mark.parametrize("text", [bomb(12), "[" * 100_000, "a: &a {b: *a}"], ids=range(3))
def test_a_report_on_huge_files_is_refused(tmp_path, capsys, name, text):
    run = tmp_path / "0"
    run.mkdir()
    (run / "summary.json").write_text(json.dumps(summary("Greedy")))
    (run / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "jobs.yaml").write_text("- []\n")
    (tmp_path / name if name == "jobs.yaml" else run / name).write_text(text)
    assert main(["report", str(tmp_path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert name in line


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("cluster.profiling.lanes=1000000000", "must lie between 1 and 100000"),
        ("cluster.profiling.workers=1000000000", "must lie between 1 and 100000"),
        ("max_wall_s=1e308", "must be 1e+08 s or less, or null"),
    ],
)
def test_a_huge_number_is_refused(override, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        set_up(compose([*SHORT, override]), [*SHORT, override])
