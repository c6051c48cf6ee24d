"""Former members of the planning context, and what replaces them."""

from typing import TYPE_CHECKING, Any

from hardware_models.errors import nearest

RENAMED = {
    "active_since_s": "context.world.active_since_s",
    "audit": "context.measure_live_accuracy",
    "capacity_factors": "context.world.capacity_factors",
    "close": "called by the world alone",
    "cluster": "context.world.cluster",
    "coming": "context.world.loading",
    "dataset_features": "context.bulk.features(dataset)",
    "datasets": "context.world.datasets",
    "departed": "context.bulk.last_departed()",
    "features": "context.bulk.features",
    "first_that_fits": "context.bulk.first_that_fits",
    "fits_all": "context.bulk.first_that_fits",
    "free_cores": "context.world.free_cores",
    "free_instances": "context.world.free_instances",
    "freed_s": "context.world.last_release_s",
    "in_force_since_s": "context.world.active_since_s",
    "last_counts": "context.bulk.last_counts",
    "last_departed": "context.bulk.last_departed",
    "last_release_s": "context.world.last_release_s",
    "latency_factors": "context.profile(query, plan, 0).latency_factors",
    "list_price_usd_per_hour": "plan.list_price_usd_per_hour(context.world.cluster)",
    "loading": "context.world.loading",
    "log_candidate": "context.bulk.log_candidate",
    "machines_up": "context.world.machines_up",
    "offer": "context.bulk.log_candidate",
    "pipeline": "context.world.pipeline",
    "plans": "context.world.plans",
    "predict_many": "context.bulk.predict_many",
    "profile_offline": "context.profile(dataset, configuration, samples)",
    "recall_each": "context.bulk.recall_each",
    "refusal": "context.world.refusal",
    "renew": "context.resample",
    "running_by_id": "context.bulk.running_by_id",
    "scratch": "a variable of your own",
    "searching": "context.bulk.searching",
    "settled": "context.bulk.settled",
    "think": "context.charge",
    "truth": "context.bulk.truth",
    "view": "context.bulk.view",
    "waiting_by_id": "{query.id: query for query in context.waiting}",
}
"""What replaces each former member of the planning context."""


class Guided:
    """Names the replacement, or the nearest name, when a member does not exist."""

    _spelled = "the planning context"

    if not TYPE_CHECKING:  # Type checkers would take every name for a member.

        def __getattr__(self, name: str) -> Any:
            known = [each for each in dir(self) if not each.startswith("_")]
            if name.startswith("_") or name in known:
                return object.__getattribute__(self, name)  # It raises the original error.
            if name in RENAMED:
                raise AttributeError(f"context.{name} is now {RENAMED[name]}", name=name, obj=self)
            raise AttributeError(
                f"{self._spelled} has no {name!r}; the nearest is {nearest(name, known)!r}",
                name=name,
                obj=self,
            )
