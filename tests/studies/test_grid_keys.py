"""Keys of kept runs: they cover all that a result depends on, and nothing else."""

from pathlib import Path
from shutil import copytree

import scenarios
from lab.run_cache import keys as run_keys
from lab.run_cache.jobs import Job
from studies.common.measures import totals

SCENE = ("experiment=speech_small", "horizon_s=60", "planner=static_plan")


def key(*overrides: str) -> str:
    return Job((*SCENE, *overrides), 0, totals).key


def test_setting_a_mapping_and_adding_to_it_have_different_keys() -> None:
    """Composed, both are the same; a run then takes the former for all that there is."""
    assert key("network.technologies={WiFi: 1}") != key("+network.technologies={WiFi: 1}")
    assert key("network.technologies={WiFi: 1}") == key("network=wifi")


def test_a_run_without_a_planner_is_known_by_the_default() -> None:
    scene = SCENE[:-1]
    assert Job(scene, 0, totals).key == Job((*scene, "planner=cheapest_feasible"), 0, totals).key


def test_a_run_is_made_anew_where_a_table_in_a_directory_has_changed(tmp_path: Path) -> None:
    ours = Path(scenarios.__file__).parent / "data" / "speech_recognition"
    tables = copytree(ours, tmp_path / "tables")
    named = f"application.tables={tables}"
    before = key(named)
    for changed in (tables / "clips.csv", tables / "further.parquet"):
        changed.write_bytes((changed.read_bytes() if changed.exists() else b"") + b"\n")
        run_keys.behaviour.cache_clear()
        assert key(named) != before
        before = key(named)
    (tables / "notes.txt").write_text("Measured in May.")
    run_keys.behaviour.cache_clear()
    assert key(named) == before


def test_a_run_is_made_anew_by_another_version_of_the_world_or_the_planner(monkeypatch) -> None:
    before = key()
    for place in ("lab.behaviour.WORLD", "planners.StaticPlan.behaviour"):
        with monkeypatch.context() as changed:
            changed.setattr(place, 1_000)
            run_keys.behaviour.cache_clear()
            assert key() != before
    run_keys.behaviour.cache_clear()
    with monkeypatch.context() as changed:
        changed.setattr("planners.Greedy.behaviour", 1_000)
        assert key() == before


def test_a_planner_without_a_version_is_known_by_its_source(folder: Path) -> None:
    """One that extends a shipped planner depends on that one's version, too."""

    def of(comment: str) -> str:
        (folder / "own.py").write_text(
            f"from planners import Greedy  # {comment}\nclass Mine(Greedy): pass\n"
        )
        run_keys.behaviour.cache_clear()
        return Job((*SCENE[:-1], "planner._target_=own.Mine"), 0, totals).key

    assert of("one") == of("one") != of("other")
    mine = run_keys.behaviour((*SCENE[:-1], "planner._target_=own.Mine"))
    assert '"Greedy": 1' in mine
