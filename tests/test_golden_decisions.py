"""Small runs decide as the record says; see ``tests/golden/decisions.py``."""

import json

import pytest
from golden.decisions import RECORD, WORLDS, differences, figures


@pytest.mark.parametrize("name", WORLDS)
def test_decisions_are_those_of_the_record(name):
    kept = json.loads(RECORD.read_text(encoding="utf-8"))[name]
    assert differences(kept, figures(WORLDS[name]())) == []
