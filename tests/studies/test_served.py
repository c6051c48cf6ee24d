"""The campaign on served pipelines: its design, its order, and its page, without Ray."""

import json

import pytest
from served_worlds import without_ray

from lab.serving.pipeline import load_pipeline
from studies.served import campaign, planned
from studies.served.__main__ import main
from studies.served.campaign import by_combination, capacity_per_s
from studies.served.design import CALIBRATION_LOADS, REQUESTS, SUBJECTS, all_cells, steps

TIMES_S = {"detect": {n: 0.01 + 0.02 * n for n in range(1, 9)}}
TIMES_S["recognise"] = TIMES_S["detect"]


def test_the_list_of_cells_covers_all_levels():
    cells = all_cells()
    assert len(cells) >= 16
    assert len({(each.load, each.combination) for each in cells}) == len(cells)
    assert sum(each.load >= 0.8 for each in cells) >= 6
    levels = {
        "load": (0.3, 0.6, 0.8, 0.95),
        "max_batch": (1, 4, 8),
        "replicas": (1, 2),
        "configuration": ("rich", "lean"),
    }
    for name, values in levels.items():
        found = [getattr(each if name == "load" else each.combination, name) for each in cells]
        assert set(found) == set(values)
        assert min(map(found.count, values)) >= 4


def test_each_cell_is_observed_twice_between_calibrations_of_other_loads():
    assert REQUESTS >= 300
    assert not set(CALIBRATION_LOADS) & {each.load for each in all_cells()}
    for place, cells in enumerate(by_combination(all_cells()).values()):
        planned = steps(place, cells)
        assert [each.name.partition("_")[0] for each in planned] == [
            *("calibration0", *(f"cell{each.number}" for each in cells)),
            *("calibration1", *(f"cell{each.number}" for each in cells)),
        ]
        for each in cells:
            first, second = (one for one in planned if one.name.startswith(f"cell{each.number}_"))
            assert (first.seed, first.load) == (second.seed, second.load)


@pytest.mark.parametrize("name", SUBJECTS)
def test_all_combinations_are_pipelines(name):
    for combination in by_combination(all_cells()):
        pipeline = load_pipeline(SUBJECTS[name].pipeline, combination.overrides(SUBJECTS[name]))
        stage = pipeline.stages["recognise"]
        assert (stage.max_batch, stage.replicas) == (combination.max_batch, combination.replicas)
        assert stage.max_wait_s == pytest.approx(0.05 * (combination.max_batch - 1))


@pytest.fixture
def made(monkeypatch):
    """Let the simulator answer in place of Ray; return the loads that were sent, by start."""
    monkeypatch.setattr(planned, "PLANNERS", ("cheapest_feasible",))
    monkeypatch.setattr(planned, "HORIZON_S", 120.0)
    return without_ray(monkeypatch, TIMES_S)


@pytest.mark.slow
def test_the_campaign_is_resumed_and_becomes_a_page(made, tmp_path, capsys):
    words = ["run", "--directory", str(tmp_path), "--subject=stub", "--requests=40"]
    assert main(words) == 0
    cells, combinations = all_cells(), len(by_combination(all_cells()))
    starts = combinations + 1  # of what the planner chose
    assert len(made) == starts
    assert sum(map(len, made)) == combinations * 3 + 2 * len(cells) + len(planned.RUNS)
    burst = campaign.read(tmp_path / cells[0].combination.name, ["burst"])[0]
    assert made[0][1].rate_per_s == pytest.approx(CALIBRATION_LOADS[0] * capacity_per_s(burst))
    # The slower operator limits the rate: 30 ms for each request.
    assert capacity_per_s(burst) == pytest.approx(1 / 0.03, rel=0.1)
    lost = tmp_path / cells[3].combination.name / f"cell{cells[3].number}_run1/observation.json"
    lost.unlink()
    assert main(words) == 0
    assert len(made) == starts + 1
    assert len(made[-1]) == 1
    assert main(words) == 0
    assert len(made) == starts + 1
    out = ["--results", str(tmp_path / "results.json"), "--out", str(tmp_path / "served.md")]
    assert main(["page", "--directory", str(tmp_path), *out]) == 0
    text = (tmp_path / "served.md").read_text()
    assert text.count("\n| ") > 2 * len(cells)
    assert "| cheapest_feasible | " in text
    assert main(["page", *out]) == 0
    assert (tmp_path / "served.md").read_text() == text
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    errors = [abs(row["error"]) for row in rows if row["figure"] == "p50_s"]
    assert sorted(errors)[len(errors) // 2] < 0.1
    lost.unlink()
    capsys.readouterr()
    assert main(["page", "--directory", str(tmp_path), *out]) == 2
    assert "`python -m studies.served run` observes it" in capsys.readouterr().err


def test_a_page_without_results_is_refused(tmp_path, capsys):
    assert main(["page", "--results", str(tmp_path / "none.json"), "--out", "x"]) == 2
    assert "name --directory, where the campaign is" in capsys.readouterr().err
