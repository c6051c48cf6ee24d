"""Former members of the planning context, and their replacements."""

from typing import TYPE_CHECKING, Any

from hardware_models.errors import did_you_mean
from sim.api.bulk import BulkOperations
from sim.api.world_state import WorldState

RENAMED = {
    "audit": "context.measure_live_accuracy",
    "close": "called by the world alone",
    "coming": "context.world.loading",
    "dataset_features": "context.bulk.features(dataset)",
    "departed": "context.bulk.last_departed()",
    "fits_all": "context.bulk.first_that_fits",
    "freed_s": "context.world.last_release_s",
    "in_force_since_s": "context.world.active_since_s",
    "latency_factors": "context.profile(query, plan, 0).latency_factors",
    "list_price_usd_per_hour": "plan.list_price_usd_per_hour(context.world.cluster)",
    "offer": "context.bulk.log_candidate",
    "profile_offline": "context.profile(dataset, configuration, samples)",
    "renew": "context.resample",
    "scratch": "a variable of your own",
    "think": "context.charge",
    "waiting_by_id": "{query.id: query for query in context.waiting}",
} | {
    name: f"context.{facet}.{name}"
    for facet, members in (("bulk", BulkOperations), ("world", WorldState))
    for name in vars(members)
    if not name.startswith("_")
}
"""The replacement of each former member of the planning context."""


class Guided:
    """A class whose errors for unknown members name a replacement or the most similar member."""

    _spelled = "the planning context"

    if not TYPE_CHECKING:  # Type checkers would take every name for a member.

        def __getattr__(self, name: str) -> Any:
            known = [each for each in dir(self) if not each.startswith("_")]
            if name.startswith("_") or name in known:
                return object.__getattribute__(self, name)  # It raises the original error.
            if name in RENAMED:
                raise AttributeError(f"context.{name} is now {RENAMED[name]}", name=name, obj=self)
            raise AttributeError(
                f"{self._spelled} has no {name!r}{did_you_mean(name, known)}",
                name=name,
                obj=self,
            )
