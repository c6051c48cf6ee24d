"""Inputs of a grammar give a complete result or one sentence; see ``inputs.py``."""

import pytest
from grammar import BASE, Case
from inputs import Answered, failures, judged

FOUND = ("cluster.nodes.edge={}",)
"""Overrides that once ended in a traceback."""


def test_every_input_gives_a_result_or_one_sentence(tmp_path):
    Answered.clear()
    assert failures(11, range(14), tmp_path, limit_s=20.0) == []
    assert {"overrides: status 0", "overrides: status 2"} <= Answered.keys()


@pytest.mark.parametrize("override", FOUND)
def test_what_the_grammar_found_is_answered(override, tmp_path):
    given = Case("overrides", ("compass-sim", *BASE, "hydra.run.dir=here", override))
    assert judged(given, tmp_path / "case", tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_every_one_of_many_inputs_gives_a_result_or_one_sentence(seed, tmp_path):
    assert failures(seed, range(500), tmp_path) == []
