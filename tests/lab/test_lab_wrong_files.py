"""Wrong files of the user's end in one sentence, and are left as they were."""

from pathlib import Path

import pytest
from command_line import refusal, sentence_of

from lab.config.overrides import SEARCH_PATH


def test_a_file_that_is_no_yaml_is_told_by_its_line(compass, tmp_path):
    (tmp_path / "conf" / "application").mkdir(parents=True)
    bad = tmp_path / "conf" / "application" / "mine.yaml"
    bad.write_text("name: mine\n  tables: x\n")
    err = sentence_of(compass("application=mine", "--config-dir", str(tmp_path / "conf")))
    assert "mine.yaml" in err
    assert "line 2: not valid YAML" in err


@pytest.mark.parametrize(
    ("override", "text", "parts"),
    [
        ("drift=mine", "events: {kind: mps_fault, at_s: 10}\n", ["drift/mine: ", "a list", "'- '"]),
        ("drift=mine", "events:\n- {kind: mps_fault, at: 1}\n", ["drift.events.0.at", "'at_s'"]),
        ("experiment=mine", "workload: {rate: 2}\n", ["experiment=mine: ", "# @package _global_"]),
        (
            "experiment=mine",
            "defaults: [override /planner: greedy]\n",
            ["experiment=mine: ", "# @package _global_"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: {planner: greedy}\n",
            ["sim: experiment/mine.yaml: defaults: must be a list", "'- override /planner: gree"],
        ),
        ("cluster=mine", "defaults: small\n", ["sim: cluster/mine.yaml: defaults: must be a list"]),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [3]\n",
            ["sim: experiment=mine: defaults: must be a list"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [override /planer: greedy]\n",
            ["experiment/mine.yaml: defaults: override planer: choose one of", "mean '/planner'"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [planner: greedy]\n",
            ["experiment=mine: defaults: planner: greedy: write '- override /planner: greedy'"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [/planner: greedy]\n",
            ["experiment=mine: defaults: planner is chosen already; write '- override /planner:"],
        ),
        (
            "experiment=mine",
            "# @package _global_\ndefaults: [speech_smal]\n",
            ["experiment=speech_smal: ", "choose one of captioning_hours", "mean 'speech_small'"],
        ),
        (
            "experiment=mine",
            "# @package _global_\nworkload.rate: 0.2\n",
            ["workload.rate: a file nests its keys; write workload: and, indented below it, rate:"],
        ),
        (
            "experiment=mine",
            "# @package _global_\nseed: ${sead}\n",
            ["${sead}: there is no key sead to take a value from"],
        ),
    ],
)
def test_a_fault_in_a_users_file_is_one_sentence(tmp_path, override, text, parts):
    file = tmp_path / "own" / override.replace("=", "/")
    file.parent.mkdir(parents=True)
    file.with_suffix(".yaml").write_text(text)
    own = f"{SEARCH_PATH}=['file://{tmp_path}/own']"  # as --config-dir does
    err = f"compass-sim: {refusal([own, override])}"
    assert "\n" not in err
    for part in parts:
        assert part in err


def test_a_planners_file_that_an_installed_module_hides_is_named(compass, tmp_path):
    (tmp_path / "scipy.py").write_text("class Mine: pass\n")
    err = sentence_of(compass("planner._target_=scipy.Mine"))
    assert "module scipy has no Mine" in err
    assert "not scipy.py of this directory" in err


def test_a_directory_with_results_is_not_written_over(compass):
    assert compass("planner=cheapest_feasible", "hydra.run.dir=here")[0] == 0
    before = Path("here/summary.json").read_bytes()
    err = sentence_of(compass("planner=cheapest_feasible", "hydra.run.dir=here"))
    assert "already has results" in err
    assert Path("here/summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("outputs/frist", "outputs/first"),
        ("outputs/FRIST", "outputs/first"),
        ("output/first", "outputs/first"),
        ("ouputs/lost", "outputs"),  # The nearest of what is missing first.
        ("outputs/nosuch", None),
        ("outputs/notes", None),  # No file is meant.
        ("outputs/hidden", None),
        ("nowhere/first", None),
    ],
)
@pytest.mark.parametrize("words", [["explain", "DIR", "3"], ["report", "DIR"], ["trace", "DIR"]])
def test_a_missing_directory_is_refused_with_the_nearest_name(
    given, meant, words, current, refused
):
    for name in ("first", "second", ".hidden"):
        (current / "outputs" / name).mkdir(parents=True)
    (current / "outputs" / "note").touch()
    hint = "" if meant is None else f"; did you mean {meant}?"
    said = refused(*(given if word == "DIR" else word for word in words))
    assert said.endswith(f"={given}: no such directory{hint}\n")


def test_a_run_that_is_told_not_to_resume_does_not_write_over_another(compass):
    words = ("planner=greedy", "horizon_s=1", "hydra.run.dir=here")
    assert compass(*words)[0] == 0
    assert "already has results" in sentence_of(compass(*words, "resume=no"))


def test_an_experiment_whose_defaults_lead_back_to_itself_is_refused(compass, tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - /experiment: speech_small\n  - _self_\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    said = sentence_of(compass("--config-dir", str(tmp_path), "experiment=mine"))
    assert "refers to itself" in said
