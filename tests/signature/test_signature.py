"""The signature's runs have the recorded results, and a difference names what to do."""

from dataclasses import replace

import pytest

from tests.signature.mutations import listed, noticed
from tests.signature.record import Record, Run
from tests.signature.runs import NAMES, made

KEPT = Record.read()


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_the_recorded_results(name):
    """If this fails, ``python -m tests.signature`` tells what to do."""
    found = Record.of({name: made(name)})
    assert not KEPT.problems(found)
    assert not replace(KEPT, runs={name: KEPT.runs[name]}).outdated(found)


def test_the_record_has_each_run_and_each_planner():
    from lab.behaviour import shipped

    assert list(KEPT.runs) == NAMES
    versions = {key for run in KEPT.runs.values() for key in run.behaviour}
    assert versions >= set(shipped())


def record(**runs):
    return Record(
        {"cpu": "this"},
        {
            name: Run({"world": world, "Compass": planner}, {"cost": cost})
            for name, (world, planner, cost) in runs.items()
        },
    )


def test_a_move_names_the_version_to_raise():
    before, after = record(a=(1, 1, 2.0), b=(1, 1, 3.0)), record(a=(1, 1, 2.0), b=(1, 1, 3.1))
    told = " ".join(before.problems(after))
    assert "b: cost 3.0 -> 3.1" in told
    assert "a: cost" not in told
    assert "Compass" in told
    assert not before.problems(record(a=(1, 2, 2.5), b=(1, 2, 3.1)))
    assert not before.problems(record(a=(1, 1, 2.0 + 1e-9), b=(1, 1, 3.0)))


def test_a_version_raised_in_vain_is_named():
    before = record(a=(1, 1, 2.0), b=(1, 1, 3.0))
    assert "Compass" in " ".join(before.problems(record(a=(1, 2, 2.0), b=(1, 2, 3.0))))
    assert not before.problems(record(a=(1, 2, 2.0), b=(1, 2, 3.1)))
    assert before.outdated(record(a=(1, 2, 2.0), b=(1, 2, 3.1)))


def test_another_processor_is_told():
    after = replace(record(a=(1, 1, 2.5)), made_by={"cpu": "other"})
    told = " ".join(record(a=(1, 1, 2.0)).problems(after))
    assert "cpu this" in told
    assert "cpu other" in told


@pytest.mark.slow
@pytest.mark.parametrize("mutation", listed(), ids=lambda each: f"{each.module}: {each.after}")
def test_a_small_fault_is_noticed(mutation, tmp_path):
    assert noticed(mutation, tmp_path) != mutation.harmless


def test_mutations_touch_forty_places_of_the_world_and_planners():
    assert len(listed()) == 40
    assert sum(each.harmless for each in listed()) <= 4
    for each in listed():
        assert each.source()
