"""The optimum of the planning model, found by an integer program in HiGHS, and an LP bound.

A type of station is a pair of a kind of station and an operator key. Queries share stations of one
type. Let x be 1 if a plan is chosen, n the number of stations of a type, and y the number of cards
with a layout:

    max   worth of x - cost of x and n / W
    s.t.  (1)  sum over the x of a query <= 1
          (2)  sum over the x of a query that use a type of station <= its n
          (3)  load of the x on a type of station <= max_utilisation * servers * n
          (4)  x of queries of which at most k fit in one station of a type <= k n
          (5)  cores of n <= cores of the node
          (6)  instances of a profile of n <= those of y;   sum of y <= cards of the node
          (7)  busy time of the backhaul to the cloud, summed over x <= max_utilisation

Serving one of Q queries is worth 1, or 1 - 0.1 / (Q + 1) if it is not served yet. W is twice the
price of all resources. So as many queries as possible are served. Among such solutions, a query
that is not served yet replaces another one only if that saves more than 0.2 / (Q + 1) of the price
of all resources.

Constraints (2) and (4) tighten the LP relaxation, because numbers of stations are integers. The
machines of a node count as one. Thread shares of one profile are added up as if they packed
perfectly, which they do if each divides all larger ones. Loads can be split freely among stations
of a type, except in (4), which is exact if all queries have the same load. So the optimum bounds
feasible packings from above. In (7), each plan keeps the backhaul busy for its requests per second
times the time to send their messages, at the nominal capacity. An access link is its query's own.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from scenarios.numerics import Floats, Ints
from sim import CORE, PlanningContext, StationKind
from sim.api.gpu_layouts import gpu_layouts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Sort(NamedTuple):
    """A type of shared station: a kind of station and an operator key."""

    kind: StationKind
    operator_key: int


@dataclass(frozen=True)
class FeasiblePlan:
    """A feasible plan of a query; at most one of a query's plans is chosen."""

    index: int  # number of the plan in its query's view
    # Stations off the device, with the load in servers that the query brings.
    stations: dict[Sort, float]
    usd_per_hour: float = 0.0  # cost without stations: egress, and switching to the plan
    backhaul: float = 0.0  # share of time for which it keeps the backhaul to the cloud busy


class Stations(Protocol):
    """The stations that plans use; the attributes are those of ``sim.PlanView``."""

    @property
    def stations(self) -> Sequence[StationKind]:
        """The kinds of station."""

    @property
    def station(self) -> Ints:
        """Kind of each operator's station, or -1 on the device, of shape (P, N)."""

    @property
    def operator_key(self) -> Ints:
        """Number of the values of each operator's own and upstream knobs, of shape (P, N)."""


@dataclass(frozen=True)
class Capacity:
    """The capacity of the working machines, and prices of resources."""

    cores: dict[str, int]  # by node
    cards: dict[str, int]  # GPUs, by node
    layouts: dict[str, tuple[dict[str, int], ...]]  # possible layouts of a card, by node
    core_usd_per_hour: dict[str, float]  # price of a core, by node
    # Price of a GPU instance, by node and profile.
    instance_usd_per_hour: dict[tuple[str, str], float]
    max_utilisation: float  # largest load of a station, as a share of its servers
    backhaul: float = inf  # largest share of time for which the backhaul to the cloud is busy

    @classmethod
    def of(cls, context: PlanningContext) -> "Capacity":
        """Return the whole capacity of the cluster, including resources in use.

        The backhaul, like a station, may be busy for the share ``cluster.max_utilisation``.
        """
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
            context.world.cluster.max_utilisation,
        )

    @property
    def all_usd_per_hour(self) -> float:
        """Price of all cores and cards together, in dollars per hour."""
        cores = fsum(many * self.core_usd_per_hour[node] for node, many in self.cores.items())
        cards = fsum(
            many
            * max(
                fsum(count * self.instance_usd_per_hour[node, name] for name, count in each.items())
                for each in self.layouts[node]
            )
            for node, many in self.cards.items()
            if many
        )
        return cores + cards

    def usd_per_hour(self, kind: StationKind) -> float:
        """Return the price of one station of a kind, in dollars per hour."""
        if kind.profile == CORE:
            return kind.replicas * self.core_usd_per_hour[kind.node]
        share = kind.replicas * kind.thread_percent / 100
        return share * self.instance_usd_per_hour[kind.node, kind.profile]


def offers_of(
    view: Stations,
    plans: Ints,
    load: Floats,
    extra_usd_per_hour: Floats,
    keep: int | None = None,
    backhaul: Floats | None = None,
) -> list[FeasiblePlan]:
    """Return those feasible plans of a query that an optimum could need.

    A plan is dropped if another plan costs at most as much (apart from stations), keeps the
    backhaul busy for at most as long, and uses the same stations, or only the stations of the
    dropped plan's last operators.

    ``plans`` has the indices of the feasible plans, of shape (k,). ``load`` is the load on each
    operator's station, in servers, of shape (k, N). ``extra_usd_per_hour`` is the cost apart from
    stations, (k,); plans with the same stations must have the same, except plan ``keep``, which is
    never dropped. ``backhaul`` is the share of time for which the plan keeps the backhaul busy,
    (k,), by default 0.
    """
    sent = np.zeros(len(plans)) if backhaul is None else backhaul
    station, key = view.station[plans], view.operator_key[plans]
    used = np.where(station < 0, -1, station + len(view.stations) * key)
    needed = np.ones(len(plans), dtype=bool)
    same = np.zeros(len(plans), dtype=np.int64)  # number of the stations from some operator on
    for operator in reversed(range(station.shape[1])):
        digit = np.unique(used[:, operator], return_inverse=True)[1]
        same = np.unique(digit * (1 + same.max(initial=0)) + same, return_inverse=True)[1]
        all_of_it = (used[:, :operator] < 0).all(axis=1)
        least_sent = np.full(1 + same.max(initial=0), np.inf)
        np.minimum.at(least_sent, same[all_of_it], sent[all_of_it])
        better = all_of_it & (sent == least_sent[same])
        least = np.full(1 + same.max(initial=0), np.inf)
        np.minimum.at(least, same[better], extra_usd_per_hour[better])
        needed &= all_of_it | (extra_usd_per_hour < least[same]) | (sent < least_sent[same])
    on_device = (used < 0).all(axis=1)
    needed &= on_device | (extra_usd_per_hour < extra_usd_per_hour[on_device].min(initial=np.inf))
    cheapest = np.lexsort((extra_usd_per_hour, sent, same))
    needed[np.delete(cheapest, np.unique(same[cheapest], return_index=True)[1])] = False
    needed |= plans == (-1 if keep is None else keep)
    return [
        FeasiblePlan(
            int(plans[row]),
            {
                Sort(view.stations[kind], int(key[row, operator])): float(load[row, operator])
                for operator, kind in enumerate(station[row].tolist())
                if kind >= 0
            },
            float(extra_usd_per_hour[row]),
            float(sent[row]),
        )
        for row in np.flatnonzero(needed)
    ]


SLACK = 1e-7

LARGE = 8000
"""Presolving is used from this number of columns on, where it saved time in trials."""


@dataclass(frozen=True)
class Limits:
    """The limits at which the solver stops."""

    # Relative gap between solution and bound. 1e-5 is a cost of 2e-5 of the price of the
    # whole cluster, for each query served.
    gap: float = 1e-5
    # Largest number of nodes of the branch-and-bound tree; each version of HiGHS is deterministic.
    nodes: int = 200
    time_s: float = 60.0  # limit on wall seconds; if reached, the result depends on the machine


@dataclass(frozen=True)
class Optimum:
    """The best solution found, with its cost (including switching) and bounds.

    ``chosen`` has the index of each query's chosen plan, or None. No solution of the same worth
    costs less than ``usd_per_hour_bound``. ``proven`` says whether the gap limit was reached.
    """

    chosen: tuple[int | None, ...]
    served: int = 0
    served_bound: int = 0
    usd_per_hour: float = 0.0
    usd_per_hour_bound: float = 0.0
    proven: bool = True


@dataclass(frozen=True)
class Program:
    """The integer program; its columns are plans, types of station, and layouts of cards."""

    begin: Ints  # first column of each query's offers, and of the stations, of shape (Q + 1,)
    worth: Floats  # value of each column, of shape (columns,)
    usd_per_hour: Floats  # cost of each column, of shape (columns,)
    most: Floats  # upper bound of each column, of shape (columns,)
    rows: "csr_array"  # left sides of all constraints, of shape (rows, columns)
    limit: Floats  # their upper bounds, of shape (rows,)
    all_usd_per_hour: float  # more than any solution costs

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.begin) - 1


def program(
    offers: Sequence[Sequence[FeasiblePlan]],
    favoured: Sequence[bool],
    capacity: Capacity,
    alone: bool = True,
) -> Program:
    """Return the integer program for the feasible plans of some queries.

    No plan in ``offers`` is allowed to overload a station or the backhaul by itself. ``favoured``
    says which queries are served already. ``alone`` is False if the stations of a type may be
    replicas of one station, which share its queue; then, constraint (4) does not hold.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415 -- takes long to import

    begin = np.cumsum([0, *map(len, offers)])
    users: dict[Sort, dict[int, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for query, its in enumerate(offers):
        for number, offer in enumerate(its):
            for sort, work in offer.stations.items():
                users[sort][query].append((int(begin[query]) + number, work))
    sorts = {sort: int(begin[-1]) + at for at, sort in enumerate(users)}
    cuts = [
        (node, layout)
        for node, layouts in capacity.layouts.items()
        for layout in layouts
        if capacity.cards[node]
    ]
    layouts = {at: len(sorts) + int(begin[-1]) + at for at in range(len(cuts))}
    rows: list[tuple[dict[int, float], float]] = [
        (dict.fromkeys(range(begin[query], begin[query + 1]), 1.0), 1.0)
        for query in range(len(offers))
    ]
    for sort, column in sorts.items():
        rows += _sharing(users[sort], column, sort, capacity.max_utilisation, alone)
    for node in capacity.cores:
        rows += _packing(
            node, sorts, [(cuts[at], column) for at, column in layouts.items()], capacity
        )
    sends = {
        int(begin[query]) + number: offer.backhaul
        for query, its in enumerate(offers)
        for number, offer in enumerate(its)
        if offer.backhaul
    }
    if fsum(sends.values()) > capacity.backhaul:
        rows.append((sends, capacity.backhaul))
    columns = int(begin[-1]) + len(sorts) + len(cuts)
    worth, usd_per_hour, most = np.zeros(columns), np.zeros(columns), np.ones(columns)
    for query, its in enumerate(offers):
        here = slice(begin[query], begin[query + 1])
        worth[here] = 1.0 if favoured[query] else 1.0 - _favour(len(offers))
        usd_per_hour[here] = [offer.usd_per_hour for offer in its]
    for sort, column in sorts.items():
        usd_per_hour[column] = capacity.usd_per_hour(sort.kind)
        most[column] = len(users[sort])
    for at, column in layouts.items():
        most[column] = capacity.cards[cuts[at][0]]
    entries = [
        (row, column, value) for row, (left, _) in enumerate(rows) for column, value in left.items()
    ]
    at_row, at_column, values = np.array(entries).reshape(-1, 3).T
    return Program(
        begin,
        worth,
        usd_per_hour,
        most,
        coo_array((values, (at_row, at_column)), shape=(len(rows), columns)).tocsr(),
        np.array([right for _, right in rows]),
        capacity.all_usd_per_hour
        + fsum(max((offer.usd_per_hour for offer in its), default=0.0) for its in offers),
    )


def solve(of: Program, limits: Limits) -> Optimum | None:
    """Return the best solution, or None if a limit was reached before any was found."""
    if not of.begin[-1]:
        return Optimum((None,) * of.queries)
    scale = 2 * of.all_usd_per_hour or 1.0
    found = _highs(of, of.usd_per_hour / scale - of.worth, limits)
    if found is None:
        return None
    chosen = _chosen(of, found.values)
    worth, usd_per_hour = float(of.worth @ found.values), float(of.usd_per_hour @ found.values)
    # serving more would cost at most half a query's worth
    most = int((-found.bound + 0.5) / (1 - _favour(of.queries)) + SLACK)
    return Optimum(
        chosen,
        sum(one is not None for one in chosen),
        min(sum(begin < end for begin, end in pairwise(of.begin.tolist())), most),
        usd_per_hour,
        max(0.0, scale * (found.bound + worth)),
        found.proven,
    )


def most_served(of: Program, limits: Limits) -> int:
    """Return how many queries can be served, or an upper bound if a limit was reached."""
    if not of.begin[-1]:
        return 0
    found = _highs(of, np.where(of.worth > 0, -1.0, 0.0), limits)
    some = int((np.diff(of.begin) > 0).sum())
    return some if found is None else min(some, int(-found.bound + SLACK))


def lp_bound(of: Program, served: int | None = None) -> tuple[int, float]:
    """Return bounds by linear programming, for problems too large for `solve`.

    Args:
        of: the program.
        served: number of queries to serve at the lowest cost; by default, the first bound.

    Returns:
        An upper bound on the number of served queries, and a lower bound on the cost of serving
        ``served`` queries, in dollars per hour.

    Raises:
        ValueError: the relaxation cannot serve ``served`` queries.
    """
    if not of.queries:
        return 0, 0.0
    choice = np.where(of.worth > 0, -1.0, 0.0)
    first = _highs(of, choice, None)
    assert first is not None
    most = int(-first.bound + SLACK)
    wanted = choice, -float(most if served is None else served)
    second = _highs(of, of.usd_per_hour, None, wanted)
    if second is None:
        raise ValueError(f"served={served}: at most {most} queries can be served")
    return most, second.bound


class _Found(NamedTuple):
    """HiGHS's solution: columns' values, the objective's bound, and whether the gap is closed."""

    values: Floats
    bound: float
    proven: bool


def _highs(
    of: Program, objective: Floats, limits: Limits | None, more: tuple[Floats, float] | None = None
) -> _Found | None:
    """Minimise an objective over the program, or over its LP relaxation if ``limits`` is None.

    ``more`` is an additional constraint: its left side and its upper bound.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415
    from scipy.sparse import vstack  # noqa: PLC0415

    rows, limit = of.rows, of.limit
    if more is not None:
        rows, limit = vstack((rows, more[0][None, :]), format="csr"), np.append(limit, more[1])
    options: dict[str, Any] = {"presolve": len(objective) > LARGE}
    if limits is not None:
        options |= {
            "mip_rel_gap": limits.gap,
            "node_limit": limits.nodes,
            "time_limit": limits.time_s,
        }
    result = milp(
        objective,
        integrality=np.full(len(objective), limits is not None),
        bounds=Bounds(0, of.most),
        constraints=LinearConstraint(rows, -np.inf, limit),
        options=options,
    )
    if result.x is None:
        return None
    bound = result.fun if limits is None else result.mip_dual_bound
    return _Found(result.x if limits is None else np.rint(result.x), float(bound), result.success)


def _favour(queries: int) -> float:
    """Return the deduction from an unserved query's worth, too small to displace a served one."""
    return 0.1 / (queries + 1)


def _sharing(
    users: dict[int, list[tuple[int, float]]],
    station: int,
    sort: Sort,
    max_utilisation: float,
    alone: bool,
) -> Iterator[tuple[dict[int, float], float]]:
    """Yield constraints (2), (3) and (4) of one type of station."""
    room = max_utilisation * sort.kind.servers
    for its in users.values():
        yield {**{column: 1.0 for column, _ in its}, station: -1.0}, 0.0
    heaviest = {query: max(work for _, work in its) for query, its in users.items()}
    if fsum(heaviest.values()) > room:
        load = {column: work for its in users.values() for column, work in its}
        yield {**load, station: -room}, 0.0
    if not alone:
        return
    at_most = {
        query: int(room / min(work for _, work in its) + SLACK) for query, its in users.items()
    }
    for most in sorted(set(at_most.values())):
        heavy = [query for query, many in at_most.items() if many <= most]
        if len(heavy) > most:
            left = {column: 1.0 for query in heavy for column, _ in users[query]}
            yield {**left, station: -float(most)}, 0.0


def _packing(
    node: str,
    sorts: dict[Sort, int],
    cuts: list[tuple[tuple[str, dict[str, int]], int]],
    capacity: Capacity,
) -> Iterator[tuple[dict[int, float], float]]:
    """Yield constraints (5) and (6) of one node."""
    here = [(sort.kind, column) for sort, column in sorts.items() if sort.kind.node == node]
    cores = {column: float(kind.replicas) for kind, column in here if kind.profile == CORE}
    if cores:
        yield cores, float(capacity.cores[node])
    cards = [(layout, column) for (name, layout), column in cuts if name == node]
    if cards:
        yield {column: 1.0 for _, column in cards}, float(capacity.cards[node])
    for profile in dict.fromkeys(kind.profile for kind, _ in here if kind.profile != CORE):
        takes = {
            column: kind.replicas * kind.thread_percent / 100
            for kind, column in here
            if kind.profile == profile
        }
        gives = {column: -float(layout[profile]) for layout, column in cards if layout[profile]}
        yield {**takes, **gives}, 0.0


def _chosen(of: Program, solution: Floats) -> tuple[int | None, ...]:
    chosen: list[int | None] = []
    for begin, end in pairwise(of.begin.tolist()):
        here = np.flatnonzero(solution[begin:end] > 0.5)
        chosen.append(int(here[0]) if len(here) else None)
    return tuple(chosen)
