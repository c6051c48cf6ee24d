"""The boards on which planners profile: their lanes, their price, and their speed.

Results of profiling are those of the reference hardware, whatever the board: nominal speeds, which
are public, convert them. Only the time that a run takes, and so its price, are those of the board.
A configuration that the board cannot run, or for which the tables lack a time, is not profiled.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum

import numpy as np

from hardware_models.gpu.compute import memory_utilisation
from hardware_models.gpu.mig import choose_start, profiles
from hardware_models.gpu.mps import interference_factor
from hardware_models.reference import REFERENCE
from scenarios.applications.application import Application, Model, NeuralNetwork
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Configuration
from scenarios.cluster import FREE, Cluster, Node
from scenarios.numerics import Floats, Ints
from sim.api.charges import CHARGES_S
from sim.api.plan import CORE, Allocation
from sim.catalogue.service_times import RefusalError, node_service
from sim.clock import ns
from sim.cluster.machine import Machine
from sim.cluster.machines import Machines
from sim.planning.profiling_bench import ProfilingBench, ProfilingRun
from sim.planning.search_clock import Lanes, SearchClock

Card = tuple[Machine, int]
"""A machine, and the number of one of its GPUs."""

ON_REFERENCE: Callable[[Configuration], Floats | None] = lambda _: None  # noqa: E731


@dataclass(frozen=True)
class Hardware:
    """What a run uses: a number of workers, and the price of each in dollars per hour.

    ``factors`` returns the time of each operator, divided by its reference time, of shape (N,), or
    None if all are 1. It raises `RefusalError` if a worker cannot run an operator.
    """

    workers: int
    price_usd_per_hour: float
    factors: Callable[[Configuration], Floats | None] = ON_REFERENCE

    def affordable_run(
        self, bench: ProfilingBench, configuration: Configuration, missing: Ints, budget_s: float
    ) -> ProfilingRun | None:
        """Return the run on as many items as the budget allows.

        Return None if it allows no item, or the boards cannot run the configuration.
        """
        try:
            factors = self.factors(configuration)
        except RefusalError:
            return None
        everything = bench.run(configuration, missing, self.workers, factors)
        if everything.charged_s <= budget_s:
            return everything

        def charged_s(items: int) -> float:
            """Return the charge for the first ``items`` items, which never decreases with them."""
            return bench.run(configuration, missing[:items], self.workers, factors).charged_s

        if charged_s(1) > budget_s:
            return None  # mostly so, once a budget is nearly spent
        most = bisect_right(range(len(missing)), budget_s, key=charged_s) - 1
        return bench.run(configuration, missing[:most], self.workers, factors)


class ProfilingPool:
    """The boards of ``scenarios.cluster.Profiling``; ``lanes`` are those that searches share."""

    def __init__(self, application: Application, cluster: Cluster) -> None:
        profiling = cluster.profiling
        self._application = application
        self._sequences = cluster.llm_sequences
        self._factors: dict[tuple[str, str, int], Floats] = {}
        self._searches, self._free = profiling.searches, profiling.kind == FREE
        self._least_rounds, self._least_s = profiling.least_search_rounds, dict[str, float]()
        board = self._board(profiling.machine, profiling.purchase, profiling.region)
        boards = profiling.workers if self._free else min(profiling.workers, profiling.count)
        self._rented = Hardware(boards, profiling.price_usd_per_hour, board)
        self.restart(0)

    def _board(
        self, machine: str, purchase: str, region: str
    ) -> Callable[[Configuration], Floats | None]:
        if self._free:
            return ON_REFERENCE
        node = Node(machine=machine, purchase=purchase, region=region)
        if node.gpu_board == REFERENCE:
            return ON_REFERENCE
        whole = largest(node, node.gpu_profiles)
        return partial(self._factors_on, node, whole)

    def restart(self, now_ns: int) -> None:
        """Free all lanes, and end the runs on them."""
        self.lanes = Lanes(self._searches, scarce=not self._free)

    def least_s(self, dataset: str) -> float:
        """Return the seconds that a search can use in a lane, however long it waited for it.

        On average over configurations, they suffice for ``least_search_rounds`` rounds, each of one
        item on every board.
        """
        if dataset not in self._least_s:
            round_s = CHARGES_S["profile"] + self._mean_item_s(dataset)
            self._least_s[dataset] = self._least_rounds * round_s
        return self._least_s[dataset]

    def _mean_item_s(self, dataset: str) -> float:
        times_s = self._application.datasets[dataset].service_time_s
        items_s = []
        for configuration in self._application.pipeline.configurations:
            for factors_of in self._kinds_of_boards():
                try:
                    factors = factors_of(configuration)
                except RefusalError:
                    continue
                item_s = times_s[configuration.index] * (1.0 if factors is None else factors)
                items_s.append(fsum(item_s))
        return fsum(items_s) / max(1, len(items_s))

    def _kinds_of_boards(self) -> Sequence[Callable[[Configuration], Floats | None]]:
        """Return `Hardware.factors` for each kind of board on which searches profile."""
        return [self._rented.factors]

    def hardware(self, search: SearchClock | None) -> Hardware | None:
        """Return what a search profiles on, or None if it gets no lane; None stands for offline."""
        if search is not None and self.lanes.lane_of(search) is None:
            return None
        return self._rented

    def charge(
        self,
        search: SearchClock,
        duration_s: float,
        dataset: Dataset,
        configuration: Configuration,
    ) -> None:
        """Advance a search by a run of a configuration on a data set in its lane."""
        self.lanes.charge(search, duration_s)

    def uses(self, from_ns: int, to_ns: int) -> Mapping[Card, float]:
        """Return the memory utilisation, at most 1, by profiling on cards that serve."""
        return {}

    def _factors_on(self, node: Node, profile: str, configuration: Configuration) -> Floats:
        key = node.machine, profile, configuration.index
        if key not in self._factors:
            every = range(len(self._application.operators))
            factors = [self._factor(each, configuration, node, profile) for each in every]
            self._factors[key] = np.array(factors)
        return self._factors[key]

    def _factor(
        self, operator: int, configuration: Configuration, node: Node, profile: str
    ) -> float:
        llm = self._application.operators[operator].kind == "llm"
        on_core = self._application.model(operator, configuration) is None
        batch = self._sequences if llm else 1
        allocation = Allocation(CORE) if on_core else Allocation(profile, max_batch=batch)
        return node_service(self._application, operator, configuration, node, allocation).factor


class IdleInstances(ProfilingPool):
    """The idle parts of the GPUs that serve; each card is a lane with one worker.

    A search gets a card of a rented machine that has booted and has room for an instance. It
    profiles on the largest one that fits, at the times of serving there. If no card has room,
    nothing is measured, and the planner can ask again later. While planners profile on a card, they
    slow down its stations, and these slow down profiling, as processes that share a GPU by MPS do
    (``hardware_models.gpu.mps``); that this holds for instances of one card is an assumption. What
    stations use follows from their declared load. A run takes nothing away from later deployments:
    if one needs the same slices, they share the card until the search ends. Profiling costs nothing
    here, since the machine is paid already. Offline profiles, which come before the run, are made
    on the boards of a pool, and paid.
    """

    def __init__(self, application: Application, cluster: Cluster, machines: Machines) -> None:
        self._machines, self._nodes = machines, cluster.nodes.values()
        self._cards: list[Card] = [
            (machine, gpu) for machine in machines.all() for gpu in range(machine.node.gpus)
        ]
        # Runs that have not ended by the last tick: begin, end, and memory utilisation, by card.
        self._runs: dict[Card, list[tuple[int, int, float]]] = {}
        super().__init__(application, cluster)

    def restart(self, now_ns: int) -> None:
        """Free all lanes, and end the runs on them."""
        self.lanes = Lanes(len(self._cards), scarce=True, usable=self._usable)
        self._runs = {
            card: [(begin, min(end, now_ns), use) for begin, end, use in runs if begin < now_ns]
            for card, runs in self._runs.items()
        }

    def _kinds_of_boards(self) -> Sequence[Callable[[Configuration], Floats | None]]:
        return [
            partial(self._factors_on, node, largest(node, node.gpu_profiles))
            for node in self._nodes
            if node.gpu_profiles
        ]

    def _usable(self, now_ns: int) -> Sequence[int]:
        return [lane for lane, card in enumerate(self._cards) if self._room(card, now_ns)]

    def _room(self, card: Card, now_ns: int) -> str | None:
        """Return the largest profile of which a card of a running machine has room, or None."""
        machine, gpu = card
        board, layout = machine.node.gpu_board, machine.layout(gpu, idle=False)
        if board is None or not machine.rented or machine.ready_ns > now_ns:
            return None
        known = machine.node.gpu_profiles
        fitting = [each for each in known if choose_start(board, layout, each) is not None]
        return largest(machine.node, fitting) if fitting else None

    def hardware(self, search: SearchClock | None) -> Hardware | None:
        """Return what a search profiles on, or None if it gets no lane; None stands for offline."""
        if search is None:
            return self._rented
        lane = self.lanes.lane_of(search)
        if lane is None:
            return None
        machine, gpu = self._cards[lane]
        # A deployment can have taken the room that the search had; then they share it.
        profile = self._room((machine, gpu), search.started_ns) or smallest(machine.node)
        slots = [slot for each in machine.instances if each.gpu == gpu for slot in each.slots]
        stations = {self._machines.holders[slot]: slot for slot in slots}
        slower = interference_factor(
            [
                min(
                    1.0,
                    station.load.work
                    / station.load.servers
                    * _memory_use(slot.need.model, slot.need.processes),
                )
                for station, slot in stations.items()
            ]
        )
        node = machine.node
        return Hardware(1, 0.0, lambda each: slower * self._factors_on(node, profile, each))

    def charge(
        self,
        search: SearchClock,
        duration_s: float,
        dataset: Dataset,
        configuration: Configuration,
    ) -> None:
        """Advance a search by a run of a configuration on a data set in its lane."""
        super().charge(search, duration_s, dataset, configuration)
        assert search.lane is not None
        end_ns = search.clock_ns
        run = end_ns - ns(duration_s), end_ns, self._memory_use(dataset, configuration)
        self._runs.setdefault(self._cards[search.lane], []).append(run)

    def _memory_use(self, dataset: Dataset, configuration: Configuration) -> float:
        """Return the memory utilisation of a configuration that is profiled item by item."""
        times_s = dataset.service_time_s[configuration.index]
        used_s = [
            time_s * _memory_use(self._application.model(operator, configuration))
            for operator, time_s in enumerate(times_s.tolist())
        ]
        return fsum(used_s) / float(times_s.sum())

    def uses(self, from_ns: int, to_ns: int) -> Mapping[Card, float]:
        """Return the memory utilisation, at most 1, by profiling on cards that serve."""
        found: dict[Card, float] = {}
        for card, runs in list(self._runs.items()):
            shares = [
                use * (min(end, to_ns) - max(begin, from_ns)) / (to_ns - from_ns)
                for begin, end, use in runs
                if begin < to_ns and end > from_ns
            ]
            if shares:
                found[card] = min(1.0, fsum(shares))
            self._runs[card] = [run for run in runs if run[1] > to_ns]
            if not self._runs[card]:
                del self._runs[card]
        return found


def largest(node: Node, names: Iterable[str]) -> str:
    """Return the profile with the most compute slices."""
    assert node.gpu_board is not None
    known = profiles(node.gpu_board)
    return max(names, key=lambda name: known[name].compute_slices)


def smallest(node: Node) -> str:
    """Return the profile with the fewest compute slices."""
    assert node.gpu_board is not None
    known = profiles(node.gpu_board)
    return min(node.gpu_profiles, key=lambda name: known[name].compute_slices)


def _memory_use(model: Model | None, processes: int = 1) -> float:
    """Return the memory utilisation of busy processes of a model; only a network's is known."""
    if not isinstance(model, NeuralNetwork):
        return 0.0
    return processes * memory_utilisation(model.like, like_items=model.like_items)
