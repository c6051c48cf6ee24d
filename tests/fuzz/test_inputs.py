"""Inputs of a grammar give a complete result or one sentence; see ``inputs.py``."""

from importlib.resources import files

import pytest
from grammar import BASE, Case
from inputs import Answered, failures, judged

from lab import run

RUN = ("compass-sim", *BASE, "hydra.run.dir=here")
ERRORS = files("hardware_models").joinpath("data/fit_mps_errors.csv").read_bytes()
KERNEL = (
    b"group,coefficient,value,unit,kind,source,source_url,note\nkernel,likeness,0.5,1,derived,x,,\n"
)
FOUND = {
    "an empty node": Case("overrides", (*RUN, "cluster.nodes.edge={}")),
    "a key of spaces": Case("overrides", (*RUN, " =-0.0")),
    "errors of a fit": Case(
        "table",
        (*RUN, "tables.fit_mps_errors={path: mine.csv, how: merge}"),
        {"mine.csv": ERRORS},
    ),
    "half a kernel": Case(
        "table",
        (*RUN, "tables.fit_gpu_latency={path: mine.csv, how: replace}"),
        {"mine.csv": KERNEL},
    ),
    "a number as configuration": Case(
        "results", (*RUN, "resume=true"), {"here/config.yaml": b"3", "here/summary.json": b"{}"}
    ),
}
"""Inputs that once ended in a traceback or in no sentence."""


def test_every_input_gives_a_result_or_one_sentence(tmp_path):
    # Functions are compiled at their first use, which can take longer than the limit.
    run(["experiment=speech_small", "planner=greedy", "horizon_s=60"])
    Answered.clear()
    assert failures(11, range(6, 18), tmp_path, limit_s=20.0) == []
    assert {"overrides: status 0", "overrides: status 2"} <= Answered.keys()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if "fit" not in name else pytest.mark.slow) for name in FOUND],
)
def test_what_the_grammar_found_is_answered(name, tmp_path):
    (tmp_path / "finished").mkdir()
    assert judged(FOUND[name], tmp_path / "case", tmp_path / "finished") == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_every_one_of_many_inputs_gives_a_result_or_one_sentence(seed, tmp_path):
    assert failures(seed, range(500), tmp_path) == []
