"""What the shared model of accuracy believes before anything is measured."""

from dataclasses import dataclass

from planners.common.ranges import BelowOne, InRange, Positive, Share

KNOB_SDS = {0.03: 0.4, 0.06: 0.3, 0.12: 0.2, 0.25: 0.1}
"""Possible deviations of the effect of each knob, and their prior probabilities."""

TOGETHER = (0.1, 0.4)
"""Equally likely deviations of the interaction, relative to the deviation of a knob's effect."""

ITEM_VARIANCE = 0.05
"""Variance of accuracy between items that is assumed before any item is measured."""


@dataclass(frozen=True)
class AccuracyPrior(InRange):
    """The prior of `planners.compass.search.pooled`; all numbers are assumptions without a source.

    ``docs/evidence/evaluation.md`` shows how much Compass depends on each of them.

    Args:
        level: mean over data sets of the accuracy of a configuration of middle quality.
        level_sd: its standard deviation over data sets.
        knob_loss: accuracy that a knob's cheapest choice loses against its richest, on average.
        knob_scale: factor of the possible deviations of a knob's effect (`KNOB_SDS`).
        interaction_scale: factor of the possible deviations of the interaction (`TOGETHER`).
        slope_sd: deviation of the effect of content that is one deviation of items away.
        slopes_differ: how much this effect differs between configurations, relative to it.
        query_sd: deviation of a query's accuracy that content does not explain.
        own_sd: the same of one configuration for a query.
        alike: correlation of the accuracy of an item in two configurations.
        item_variance: variance of accuracy between the items of a data set.
        item_variance_items: number of measured items as which ``item_variance`` counts.
        common_items: number of items as which the variance of a data set's items counts for one
            configuration.

    Raises:
        ValueError: a number is out of range.
    """

    level: Share = 0.6
    level_sd: Positive = 0.15
    knob_loss: Share = 0.05
    knob_scale: Positive = 1.0
    interaction_scale: Positive = 1.0
    slope_sd: Positive = 0.2
    slopes_differ: Positive = 0.5
    query_sd: Positive = 0.01
    own_sd: Positive = 0.01
    alike: BelowOne = 0.7
    item_variance: Positive = ITEM_VARIANCE
    item_variance_items: Positive = 4.0
    common_items: Positive = 64.0

    @property
    def effects(self) -> list[tuple[float, float, float]]:
        """Possible deviations of a knob's effect and of the interaction, and their probability."""
        return [
            (self.knob_scale * knob, self.interaction_scale * share, probability / len(TOGETHER))
            for knob, probability in KNOB_SDS.items()
            for share in TOGETHER
        ]
