"""Code generation: published pass rates, what samples and refinement gain, and what they cost."""

import numpy as np
import polars as pl
import pytest

from scenarios.applications.accuracy_rules import best_of
from scenarios.applications.shipped import shipped_application
from scenarios.declaration import DeclaredApplication
from scenarios.derivation import DATA
from scenarios.derivation.code_generation import fit_attempts, fit_concentration

PUBLISHED = {
    ("HumanEval", "Qwen2.5-Coder-32B-Instruct"): 0.927,
    ("HumanEval", "Qwen2.5-Coder-1.5B-Instruct"): 0.707,
    ("MBPP", "Qwen2.5-Coder-14B-Instruct"): 0.862,
    ("MBPP", "Qwen2.5-Coder-3B-Instruct"): 0.736,
}
REPAIRED = {
    1: ([0.671, 0.829, 0.756, 0.872, 0.878], [0.732, 0.896, 0.848, 0.915, 0.902]),
    2: ([0.671, 0.829, 0.756, 0.872, 0.878], [0.756, 0.909, 0.872, 0.927, 0.921]),
}
"""Share of HumanEval solved at once, and within so many repair passes, by five models."""


@pytest.fixture(scope="module")
def coding() -> DeclaredApplication:
    return shipped_application("code_generation")


def index(coding: DeclaredApplication, **changed: int | str) -> int:
    values = {
        "model": "Qwen2.5-Coder-7B-Instruct",
        "precision": "BF16",
        "samples": 1,
        "refinement": 0,
    }
    return coding.pipeline.configuration(**{**values, **changed}).index


@pytest.mark.parametrize(("dataset", "model"), PUBLISHED)
def test_one_sample_without_refinement_passes_as_published(
    coding: DeclaredApplication, dataset: str, model: str
) -> None:
    passed = coding.datasets[dataset].accuracy[index(coding, model=model), 0]
    assert passed == pytest.approx(PUBLISHED[dataset, model], rel=1e-5)


@pytest.mark.parametrize("dataset", ["HumanEval", "MBPP"])
def test_larger_models_more_samples_and_refinement_pass_more(
    coding: DeclaredApplication, dataset: str
) -> None:
    shape = [len(knob.choices) for knob in coding.pipeline.knobs]
    passed = coding.datasets[dataset].accuracy[:, 0].reshape(shape)
    assert ((passed > 0) & (passed < 1)).all()
    for axis in (0, 2, 3):
        assert (np.diff(passed, axis=axis) < 0).all()
    assert (passed[:, 0] > passed[:, 1:].max(axis=1)).all()  # BF16 against the quantised.


@pytest.mark.parametrize("passes", REPAIRED)
def test_refinement_solves_about_what_repair_passes_were_measured_to_solve(passes: int) -> None:
    table = pl.read_csv(DATA / "code_generation" / "refinements.csv")
    attempts = table.filter(pl.col("refinement") == passes)["attempts"].item()
    concentrations = pl.read_csv(DATA / "code_generation" / "concentrations.csv")
    c = concentrations.filter(pl.col("dataset") == "HumanEval")["concentration"].item()
    once, repaired = (np.array(one) for one in REPAIRED[passes])
    told = best_of(once, np.array(attempts), np.array(c))
    assert np.abs(told - repaired).max() < 0.05
    assert abs(float((told - repaired).mean())) < 0.01


def test_fits_find_what_they_were_made_from() -> None:
    once = np.array([0.4, 0.6, 0.8])
    several = best_of(once, np.array(10.0), np.array(0.7))
    assert fit_concentration(once, several, 10) == pytest.approx(0.7, rel=1e-4)
    assert fit_attempts(once, several, 0.7) == pytest.approx(10.0, rel=1e-4)


def test_errors_of_the_fits_are_those_that_the_documents_tell() -> None:
    errors = pl.read_csv(DATA / "code_generation" / "fit_errors.csv")
    fitted = errors.filter(~pl.col("target").str.contains("not fitted"))
    assert fitted["median_absolute_error"].max() < 2.5
    assert fitted["largest_absolute_error"].max() < 5.0


def test_a_refined_request_generates_every_program_again(coding: DeclaredApplication) -> None:
    data = coding.datasets["HumanEval"]
    plain = data.tokens(index(coding), 1)
    refined = data.tokens(index(coding, refinement=2, samples=8), 1)
    assert (plain.sequences, refined.sequences) == (1, 8)
    assert refined.output == pytest.approx(3 * plain.output)
    assert refined.prompt > plain.prompt


def test_samples_share_their_decoding_iterations(coding: DeclaredApplication) -> None:
    times = coding.datasets["HumanEval"].service_time_s
    one, eight = times[index(coding)], times[index(coding, samples=8)]
    assert one[1] < eight[1] < 2 * one[1]
    assert eight[2] == pytest.approx(8 * one[2])


def test_four_bits_are_faster_than_sixteen(coding: DeclaredApplication) -> None:
    times = coding.datasets["MBPP"].service_time_s[:, 1]
    big = "Qwen2.5-Coder-32B-Instruct"
    four, sixteen = (times[index(coding, model=big, precision=one)] for one in ("AWQ", "BF16"))
    assert four < sixteen
