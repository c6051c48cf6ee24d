"""Knobs taken one at a time: what each value does to accuracy and demand, others at the richest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from planners.common.hill_climbing import demand_s, neighbours
from planners.common.offline_profiles import deviations
from scenarios.application import Configuration, KnobValue, Pipeline
from sim import Estimate

Setting = tuple[int, KnobValue]
"""Number of a knob, and a value of it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a setting multiplies, against the knob's richest value on the same items.

    Args:
        accuracy: factor of accuracy.
        demand: factor of compute per request.
    """

    accuracy: float
    demand: float


@dataclass(frozen=True, slots=True)
class KnobProfile:
    """What was found out of a data set's knobs, taken as independent of each other.

    Args:
        since_s: when its first leader looked.
        accuracy: accuracy of the richest configuration.
        effects: what each setting does that was looked at.
    """

    since_s: float
    accuracy: float
    effects: Mapping[Setting, Effect] = field(default_factory=dict)

    def missing(self, pipeline: Pipeline) -> Iterator[Configuration]:
        """Yield configurations that show the settings not looked at, knobs taking turns.

        Knobs of the last operators go first: what is upstream of them need not run again.
        """
        richest = pipeline.configurations[0]
        around = list(neighbours(pipeline, richest))

        def turn(configuration: Configuration) -> tuple[int, int]:
            knob, value = _setting(configuration, richest)
            return pipeline.knobs[knob].choices.index(value), -knob

        for configuration in sorted(around, key=turn):
            if _setting(configuration, richest) not in self.effects:
                yield configuration

    def with_effect(self, shown: Estimate, richest: Estimate) -> "KnobProfile":
        """Return the profile with what a configuration showed against the richest."""
        setting = _setting(shown.measurement.configuration, richest.measurement.configuration)
        effect = Effect(
            shown.accuracy_mean / max(richest.accuracy_mean, 1e-9),
            demand_s(shown) / demand_s(richest),
        )
        return replace(self, effects={**self.effects, setting: effect})

    def composed(self, pipeline: Pipeline, configuration: Configuration) -> Effect | None:
        """Return what all settings of a configuration do together; None if one is not known."""
        accuracy, demand = 1.0, 1.0
        for knob in deviations(configuration, pipeline.configurations[0]):
            effect = self.effects.get((knob, configuration.values[knob]))
            if effect is None:
                return None
            accuracy *= effect.accuracy
            demand *= effect.demand
        return Effect(accuracy, demand)

    def ranked(self, pipeline: Pipeline, floor: float) -> list[Configuration]:
        """Return the configurations of known settings, the most promising first.

        Those that should reach the floor come first, by rising demand; then the others, by falling
        accuracy.
        """
        keys: dict[Configuration, tuple[float, float]] = {}
        for configuration in pipeline.configurations:
            effect = self.composed(pipeline, configuration)
            if effect is not None:
                lacks = max(0.0, floor - self.accuracy * effect.accuracy)
                keys[configuration] = lacks, effect.demand
        return sorted(keys, key=keys.__getitem__)


def _setting(configuration: Configuration, richest: Configuration) -> Setting:
    (knob,) = deviations(configuration, richest)
    return knob, configuration.values[knob]
