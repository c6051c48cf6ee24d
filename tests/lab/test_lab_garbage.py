"""Garbage of a command is collected seldom, and what was imported not at all."""

import gc

import pytest

from lab.common.garbage import imported_for_good


@pytest.fixture(autouse=True)
def as_before():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.enable()


def test_nothing_is_collected_while_modules_are_imported():
    gc.set_threshold(700, 10, 10)
    with imported_for_good():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 700


def test_who_disabled_collection_keeps_it_disabled():
    gc.disable()
    with imported_for_good():
        pass
    assert not gc.isenabled()
