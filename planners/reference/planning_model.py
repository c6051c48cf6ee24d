"""The planning model: feasible plans, what they take, and the capacity.

A query takes one of its feasible plans, or none. Queries share stations that agree on kind and
operator key.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planners.common.arrays import Floats, Integers
from sim import CORE, PlanningContext, PlanView, StationKind
from sim.api.gpu_layouts import gpu_layouts


class Sort(NamedTuple):
    """Stations that the queries which need them may share."""

    kind: StationKind
    operator_key: int


@dataclass(frozen=True)
class Offer:
    """A feasible plan of a query.

    Args:
        index: number of the plan in its query's view.
        stations: stations off the device, with the load in servers that the query brings.
        usd_per_hour: cost besides stations: egress, and switching to it.
    """

    index: int
    stations: dict[Sort, float]
    usd_per_hour: float = 0.0


@dataclass(frozen=True)
class Capacity:
    """Capacity of the working machines, and its prices.

    Args:
        cores: by node.
        cards: GPUs, by node.
        layouts: possible layouts of a card, by node.
        core_usd_per_hour: price of a core, by node.
        instance_usd_per_hour: price of a GPU instance, by node and profile.
        max_utilisation: share of its servers that a station accepts load for.
    """

    cores: dict[str, int]
    cards: dict[str, int]
    layouts: dict[str, tuple[dict[str, int], ...]]
    core_usd_per_hour: dict[str, float]
    instance_usd_per_hour: dict[tuple[str, str], float]
    max_utilisation: float

    @classmethod
    def of(cls, context: PlanningContext) -> "Capacity":
        """Return the capacity of the cluster, free or not."""
        nodes = context.world.cluster.nodes
        up = {name: context.world.machines_up(name) for name in nodes}
        return cls(
            {name: up[name] * node.cores for name, node in nodes.items()},
            {name: up[name] * node.gpus for name, node in nodes.items()},
            {name: gpu_layouts(node) for name, node in nodes.items()},
            {name: node.core_price_usd_per_hour for name, node in nodes.items()},
            {
                (name, profile): node.slice_price_usd_per_hour(profile)
                for name, node in nodes.items()
                for profile in node.gpu_profiles
            },
            context.world.cluster.max_utilisation,
        )

    @property
    def all_usd_per_hour(self) -> float:
        """Price of all cores and cards."""
        cores = sum(many * self.core_usd_per_hour[node] for node, many in self.cores.items())
        cards = sum(
            many
            * max(
                sum(count * self.instance_usd_per_hour[node, name] for name, count in each.items())
                for each in self.layouts[node]
            )
            for node, many in self.cards.items()
            if many
        )
        return cores + cards

    def usd_per_hour(self, kind: StationKind) -> float:
        """Return the price of one station."""
        if kind.profile == CORE:
            return kind.replicas * self.core_usd_per_hour[kind.node]
        share = kind.replicas * kind.thread_percent / 100
        return share * self.instance_usd_per_hour[kind.node, kind.profile]


def offers_of(
    view: PlanView,
    plans: Integers,
    load: Floats,
    extra_usd_per_hour: Floats,
    keep: int | None = None,
) -> list[Offer]:
    """Return the feasible plans of a query that an optimum may need.

    A plan is dropped if another costs no more besides its stations and uses the same stations, or
    all but the first ones.

    Args:
        view: the view of the plans.
        plans: numbers of the feasible ones, shape (k,).
        load: load on each operator's station, in servers, shape (k, N).
        extra_usd_per_hour: cost besides stations, shape (k,).
        keep: number of a plan that stays in any case.
    """
    station, key = view.station[plans], view.operator_key[plans]
    used = np.where(station < 0, -1, station + len(view.stations) * key)
    needed = np.ones(len(plans), dtype=bool)
    same = np.zeros(len(plans), dtype=np.int64)  # a number of what is used from some operator on
    for operator in reversed(range(station.shape[1])):
        digit = np.unique(used[:, operator], return_inverse=True)[1]
        same = np.unique(digit * (1 + same.max(initial=0)) + same, return_inverse=True)[1]
        all_of_it = (used[:, :operator] < 0).all(axis=1)
        least = np.full(1 + same.max(initial=0), np.inf)
        np.minimum.at(least, same[all_of_it], extra_usd_per_hour[all_of_it])
        needed &= all_of_it | (extra_usd_per_hour < least[same])
    on_device = (used < 0).all(axis=1)
    needed &= on_device | (extra_usd_per_hour < extra_usd_per_hour[on_device].min(initial=np.inf))
    cheapest = np.lexsort((extra_usd_per_hour, same))
    needed[np.delete(cheapest, np.unique(same[cheapest], return_index=True)[1])] = False
    needed |= plans == (-1 if keep is None else keep)
    return [
        Offer(
            int(plans[row]),
            {
                Sort(view.stations[kind], int(key[row, operator])): float(load[row, operator])
                for operator, kind in enumerate(station[row].tolist())
                if kind >= 0
            },
            float(extra_usd_per_hour[row]),
        )
        for row in np.flatnonzero(needed)
    ]
