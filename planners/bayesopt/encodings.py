"""Features of configurations, as inputs of surrogates.

One-hot features treat the choices of a knob as names; ordinal features treat them as positions on a
line. Mixed features are ordinal for knobs whose choices are numbers and one-hot for others.
Discrete features "sometimes outperform" continuous ones (Compass paper, Fig. 18).
"""

from collections.abc import Sequence

import numpy as np

from scenarios.applications.pipeline import Pipeline
from scenarios.numerics import Floats, Ints
from sim import PlanView


def positions(pipeline: Pipeline) -> Ints:
    """Return the index of each knob's choice in each configuration, of shape (C, knobs)."""
    shape = [len(knob.choices) for knob in pipeline.knobs]
    every = list(np.ndindex(*shape))  # configurations are numbered like the product of choices
    return np.array(every, dtype=np.int64).reshape(len(every), len(shape))


def one_hot(pipeline: Pipeline) -> Floats:
    """Return features of shape (C, choices), which are 1 for chosen values and 0 for others."""
    return _encoded(pipeline, [len(knob.choices) for knob in pipeline.knobs])


def ordinal(pipeline: Pipeline) -> Floats:
    """Return the positions of knobs' choices, scaled to the range 0 to 1, of shape (C, knobs)."""
    return _encoded(pipeline, [1 for _ in pipeline.knobs])


def mixed(pipeline: Pipeline) -> Floats:
    """Return ordinal features of numeric knobs and one-hot features of others, of shape (C, D)."""
    return _encoded(pipeline, _mixed_widths(pipeline))


def blocks(pipeline: Pipeline, features: Floats) -> tuple[int, ...]:
    """Return the number of features of each knob, given features from one of the encodings.

    Raises:
        ValueError: no encoding yields this number of features.
    """
    choices = [len(knob.choices) for knob in pipeline.knobs]
    for widths in ([1] * len(choices), choices, _mixed_widths(pipeline)):
        if sum(widths) == features.shape[1]:
            return tuple(widths)
    raise ValueError(f"{features.shape[1]} features: no encoding makes so many")


def _mixed_widths(pipeline: Pipeline) -> list[int]:
    return [
        1 if all(isinstance(choice, int | float) for choice in knob.choices) else len(knob.choices)
        for knob in pipeline.knobs
    ]


def _encoded(pipeline: Pipeline, widths: Sequence[int]) -> Floats:
    """Return the features of all configurations; ``widths`` decides the encoding of each knob."""
    codes = positions(pipeline)
    columns: list[Floats] = [np.empty((len(codes), 0))]
    for code, knob, width in zip(codes.T, pipeline.knobs, widths, strict=True):
        count = len(knob.choices)
        columns.append(np.eye(count)[code] if width == count else code[:, None] / (count - 1))
    return np.hstack(columns)


def joint(pipeline: Pipeline, view: PlanView) -> tuple[Floats, tuple[int, ...]]:
    """Return features of whole plans, of shape (P, D), and the number of features in each block.

    A block is the one-hot code of a knob's choice or of the kind of an operator's station.
    """
    knobs = one_hot(pipeline)
    parts, widths = [knobs[view.configuration]], list(blocks(pipeline, knobs))
    for station in view.station.T:
        kinds, which = np.unique(station, return_inverse=True)
        parts.append(np.eye(len(kinds))[which])
        widths.append(len(kinds))
    return np.hstack(parts), tuple(widths)
