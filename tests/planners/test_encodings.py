"""Encodings of configurations."""

import numpy as np
import pytest

from planners.bayesopt.encodings import blocks, mixed, one_hot, ordinal
from scenarios.applications.pipeline import Knob, Operator, Pipeline

PIPELINE = Pipeline(
    "made up",
    (
        Operator("first", "cpu", (Knob("rate", (30, 10, 5)),)),
        Operator("second", "gpu", (Knob("model", ("large", "small")), Knob("only", (1,)))),
    ),
)


def test_one_hot_marks_one_choice_of_each_knob():
    features = one_hot(PIPELINE)
    assert features.shape == (6, 6)
    assert set(np.unique(features)) == {0.0, 1.0}
    assert (features.sum(axis=1) == 3).all()
    assert len(np.unique(features, axis=0)) == 6


def test_ordinal_goes_from_0_to_1_in_the_order_of_the_knob():
    rows = zip(PIPELINE.configurations, ordinal(PIPELINE), strict=True)
    values = {each.values: row for each, row in rows}
    assert values[(30, "large", 1)][:2].tolist() == [0.0, 0.0]
    assert values[(10, "small", 1)][:2].tolist() == [0.5, 1.0]
    assert values[(5, "large", 1)][:2].tolist() == [1.0, 0.0]


def test_mixed_is_ordinal_for_numbers_only():
    features = mixed(PIPELINE)
    assert features.shape == (6, 4)
    np.testing.assert_array_equal(features[:, [0]], ordinal(PIPELINE)[:, [0]])
    np.testing.assert_array_equal(features[:, 1:3], one_hot(PIPELINE)[:, 3:5])


@pytest.mark.parametrize(
    ("encoding", "widths"), [(one_hot, (3, 2, 1)), (ordinal, (1, 1, 1)), (mixed, (1, 2, 1))]
)
def test_blocks_are_the_features_of_each_knob(encoding, widths):
    assert blocks(PIPELINE, encoding(PIPELINE)) == widths


def test_features_of_no_encoding_have_no_blocks():
    with pytest.raises(ValueError, match="5 features"):
        blocks(PIPELINE, np.zeros((6, 5)))


def test_a_pipeline_without_knobs_has_no_features():
    pipeline = Pipeline("plain", (Operator("only", "cpu"),))
    features = one_hot(pipeline)
    assert features.shape == (1, 0)
    assert blocks(pipeline, features) == ()
