"""True properties of users and of their plans, recorded by a planner that serves no query."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from hardware_models.devices import device
from lab.runs.api import Result
from planners.reference.ilp import ILP
from planners.reference.optimum import Capacity
from scenarios.applications.pipeline import Pipeline
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim import Planner, PlanningContext, Truth

LEAST = "least"
"""Role of a query's cheapest feasible plan."""

WORDS = {False: "low", True: "high"}


class UserProbe(Planner):
    """Records classes of plans for each query, with their true accuracy and price.

    A class sets some knobs to their `light` or `heavy` values and leaves the others free. The
    record of a class has the accuracy with all other knobs at their richest values, and the least
    price of a plan that meets the SLO for this query alone (see `planners.reference.ilp.ILP`). This
    price consists of the share of stations that the query keeps busy, and of egress. Without knobs,
    the plan with the least list price is recorded as `LEAST`. Latency must hold at a `utilisation`
    of stations, where 0 means that the query is alone. Raises ValueError if the numbers of values
    and of knobs differ.
    """

    sees_truth = True

    def __init__(
        self,
        knobs: Sequence[str] = (),
        light: Sequence[str | int | float] = (),
        heavy: Sequence[str | int | float] = (),
        utilisation: float = 0.0,
    ) -> None:
        if not len(knobs) == len(light) == len(heavy):
            raise ValueError(f"light={light}: give a light and a heavy value for each of {knobs}")
        self.knobs = knobs
        self.light = light
        self.heavy = heavy
        self.utilisation = utilisation

    def plan(self, context: PlanningContext) -> None:
        """Record the plans of the new queries."""
        for query in context.waiting:
            if not context.recall(query.id):
                context.remember(query.id, True)
                self._look(context, query)

    def _look(self, context: PlanningContext, query: Query) -> None:
        truth, judge = context.bulk.truth(query), ILP(utilisation=self.utilisation)
        view = truth.view
        if not self.knobs:
            feasible = judge.feasible(context, query, truth, np.arange(len(view)))
            if len(feasible):
                price = view.list_price_usd_per_hour[feasible]
                best = int(price.argmin())
                self._record(context, query, truth, int(feasible[best]), LEAST, float(price[best]))
            return
        for role, configurations in self._classes(context.world.pipeline).items():
            plans = np.flatnonzero(np.isin(view.configuration, configurations))
            feasible = judge.feasible(context, query, truth, plans)
            used = used_usd_per_hour(context, query, truth, feasible)
            richest = int(plans[view.configuration[plans] == configurations[0]][0])
            self._record(
                context, query, truth, richest, role, float(used.min()) if len(used) else None
            )

    def _record(
        self,
        context: PlanningContext,
        query: Query,
        truth: Truth,
        number: int,
        role: str,
        price: float | None,
    ) -> None:
        accuracy = float(truth.accuracy[truth.view.configuration[number]])
        context.bulk.log_candidate(query, truth.view.plan(number), role, 0.0, accuracy, price)

    def _classes(self, pipeline: Pipeline) -> dict[str, list[int]]:
        """Return each class's configurations, the richest first, by names like ``low-high``."""
        names = [knob.name for knob in pipeline.knobs]
        for name in self.knobs:
            if name not in names:
                raise ValueError(f"planner.knobs={name}: choose some of {', '.join(names)}")
        at = [names.index(name) for name in self.knobs]
        found = {}
        for high in product((False, True), repeat=len(self.knobs)):
            values = [
                heavy if each else light
                for each, light, heavy in zip(high, self.light, self.heavy, strict=True)
            ]
            found["-".join(WORDS[each] for each in high)] = [
                configuration.index
                for configuration in pipeline.configurations
                if [configuration.values[knob] for knob in at] == values
            ]
        return found


def used_usd_per_hour(context: PlanningContext, query: Query, truth: Truth, plans: Ints) -> Floats:
    """Return the price of each plan's station shares and egress in USD/h, of shape (k,)."""
    view, capacity = truth.view, Capacity.of(context)
    station = view.station[plans]
    price = np.array([*map(capacity.usd_per_hour, view.stations), 0.0])  # the last: the device
    time_s = truth.operator_time_s[view.configuration[plans]]
    busy = query.requests_per_s * view.capacity_factors[plans] * time_s / view.servers[plans]
    egress = view.cost_usd_per_hour[plans] - view.list_price_usd_per_hour[plans]
    return np.asarray((price[station] * busy).sum(axis=1) + egress)


def users(result: Result) -> Mapping[str, Any]:
    """Return speed and link of each user, and the records of its classes, as ``cells``.

    * ``speed``: CPU speed of the device, in multiples of a Raspberry Pi 4.
    * ``uplink_bps``: mean capacity of the uplink.
    * ``accuracy`` and ``price`` (USD/h; null if no plan meets the SLO) of each class.
    """
    classes = result.offers.group_by("query", maintain_order=True).agg(
        classes=pl.struct("accuracy", "price", name="role")
    )
    devices = result.queries.select("device", "true_device_factor").iter_rows()
    speeds = [device(name).relative_speed * factor for name, factor in devices]
    each = result.queries.select(
        "query", "tier", speed=pl.Series(speeds), uplink_bps="true_uplink_mean_bps"
    )
    cells = each.join(classes, "query", how="left", maintain_order="left")
    return {"cells": cells.with_columns(pl.col("classes").fill_null([])).to_dicts()}


def prices(result: Result) -> Mapping[str, Any]:
    """Return the list price of each query's last plan and the least price, as ``cells``.

    ``met`` says whether the last whole window of the query met its SLO.
    """
    whole = result.windows.filter(pl.col("active_s") >= pl.col("end_s") - pl.col("start_s") - 1e-6)
    met = whole.sort("window").group_by("query").agg(pl.col("met").last())
    last = (
        result.decisions.filter(pl.col("outcome") == "deployed")
        .sort("decided_s")
        .group_by("query")
        .agg(pl.col("list_price_usd_per_hour").last().alias("price"))
    )
    least = result.offers.filter(pl.col("role") == LEAST).select("query", least="price")
    each = (
        result.queries.select("query")
        .join(met, "query", how="left")
        .join(last, "query", how="left")
        .join(least, "query", how="left")
        .sort("query")
    )
    return {"cells": each.with_columns(pl.col("met").fill_null(False)).to_dicts()}
