"""The block data plane: compiled code simulates requests between sync points, as rows of arrays.

All departure times equal those of the event data plane, which is the specification. A block is a
span of time that is simulated at once. Orders that affect requests in flight (a failing station, a
slowdown, an abort) end a block; new routes, which affect only births, do not.
"""

from collections.abc import Callable, Iterator
from operator import itemgetter

import numpy as np

from scenarios.applications.pipeline import AVERAGE
from scenarios.cluster import DISCIPLINES, FIFO
from scenarios.requests import RequestBlock
from sim._jit.id_pool import grown
from sim.dataplane.base.durations import NEVER, NOMINAL
from sim.dataplane.base.interface import (
    Iterations,
    LinkSpec,
    PatientRecorder,
    Recorder,
    Route,
    StationSpec,
)
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.base.request_rows import ENDED, OUTCOME, width
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.branches import recall, settle
from sim.dataplane.blocks.disciplines import take_off
from sim.dataplane.blocks.generation import drop_jobs, lose_jobs
from sim.dataplane.blocks.order import arrange
from sim.dataplane.blocks.routes import LaidRoute, RouteTables, lay_out
from sim.dataplane.blocks.sharing import free_ghosts
from sim.dataplane.blocks.sources import SourceBook
from sim.dataplane.blocks.travel import move

_BLANK = np.zeros((), dtype=tb.STOP)
for _list in ("arriving", "waiting", "serving"):
    _BLANK[f"{_list}_first"] = _BLANK[f"{_list}_last"] = tb.NONE
_BLANK["in_order"], _BLANK["slowdown"] = 1, 1.0

BLOCK_REQUESTS = 4096
"""Target number of births in a block: their rows fit into the second-level cache."""
PER_SOURCE = 10
"""Target number of births of each source if there are many sources: a visit to a source and to its
own stops costs as much as one or two births."""
MANY_SOURCES, CACHED_REQUESTS = 4096, 16_384
"""Up to this number of sources, a block aims at no more births than these, so that their rows stay
in the cache. With more sources, a visit to a source and its stops takes longer than one to a row.
"""
MOST_REQUESTS = 1 << 17
"""Largest target number of births in a block, for the sake of memory."""
FIRST_BLOCK_NS = 10_000_000
LEAST_BLOCK_NS = 1_000_000
MOST_POSTPONED_NS = 10_000_000_000
"""Greatest time between a sync point and the time up to which requests have been moved."""


class BlocksPlane:
    """The data plane that simulates whole blocks at once; see ``DataPlane``."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._patient = isinstance(recorder, PatientRecorder)
        if isinstance(recorder, PatientRecorder):
            recorder.on_read(self._catch_up)
        self.now_ns = 0  # the time up to which requests have been moved
        self._until_ns = 0  # the last sync point
        self._stops = tb.RecordTable(tb.STOP)
        self._visits = tb.ValuePool(tb.VISIT)
        self._spans = tb.RecordTable(tb.SPAN)
        self._tokens = tb.RecordTable(tb.TOKENS)
        self._models = tb.RecordTable(tb.MODEL)
        self._engines = tb.ValuePool(tb.ENGINE)
        self._steps = tb.ValuePool(np.int64)
        self._servers = tb.ValuePool(np.int64)
        self._factors = tb.ValuePool(np.float64)
        self._sources = SourceBook()
        self._stations: dict[int, int] = {}  # stops by id
        self._links: dict[int, int] = {}
        self._routes: dict[int, LaidRoute] = {}
        self._most_branches = 1
        self._orders: list[tuple[int, Callable[[], None]]] = []
        self._flights = np.zeros(64, dtype=np.int64)
        self._terms = np.zeros(64, dtype=tb.TERMS)
        self._pool = tb.RowPool(0)
        self._tables: tb.PlaneTables | None = None
        self._order: tb.Order | None = None
        self._block_ns = FIRST_BLOCK_NS
        self._add_gate(tb.SINK)

    # Orders of the control plane

    def add_station(self, spec: StationSpec) -> None:
        if spec.processor is not None:
            raise ValueError(
                f"station {spec.id}: its servers share a processor with other stations, which only "
                "data_plane=events simulates"
            )
        stop = self._stations[spec.id] = self._add_stop(spec.speed)
        row = self._stops.rows[stop]
        row["kind"] = tb.STATION
        row["discipline"] = DISCIPLINES.index(spec.discipline)
        row["shed_late"] = spec.shed_late
        if spec.capacity is not None or spec.discipline != FIFO or spec.shed_late:
            row["kind"] = tb.RANKED
        row["servers"] = spec.servers
        row["servers_at"] = self._servers.put(np.full(spec.servers, self.now_ns))
        row["free_ns"] = self.now_ns
        row["max_batch"] = spec.max_batch
        row["max_wait_ns"] = spec.max_wait_ns
        row["capacity"] = tb.NONE if spec.capacity is None else spec.capacity
        row["factors_at"] = self._factors.put(np.array(spec.batch_factor, dtype=float))
        row["averaged"] = spec.batch_time == AVERAGE
        if spec.iterations is not None:
            row["kind"], row["model"] = (
                tb.GENERATION,
                self._add_model(spec.iterations, spec.servers),
            )

    def _add_model(self, iterations: Iterations, engines: int) -> int:
        idle = np.zeros(engines, dtype=tb.ENGINE)
        idle["active_first"] = idle["joining_first"] = tb.NONE
        model = self._models.take()
        self._models.rows[model] = (
            iterations.prefill_fixed_ns,
            iterations.prefill_ns_per_token,
            iterations.prefill_ns_per_token2,
            self._steps.put(np.array(iterations.decode_ns)),
            len(iterations.decode_ns),
            iterations.kv_tokens,
            self._engines.put(idle),
        )
        self._tables = None
        return model

    def add_link(self, spec: LinkSpec) -> None:
        stop = self._links[spec.id] = self._add_stop(spec.capacity)
        row = self._stops.rows[stop]
        row["kind"] = tb.LINK if spec.discipline == FIFO else tb.SHARED_LINK
        row["propagation_ns"], row["servers"] = spec.propagation_ns, 0

    def _add_stop(self, profile: RateProfile) -> int:
        stop = self._stops.take()
        row = self._stops.rows[stop]
        self._stops.rows[stop] = _BLANK
        row["rate"] = profile.rates[0]
        row["rate_until_ns"] = NEVER if len(profile.rates) == 1 else profile.starts_ns[1]
        row["steps"] = len(profile.rates)
        row["steps_at"] = self._steps.put(profile.steps)
        _note_pace(row)
        self._tables = None
        return stop

    def remove_station(self, station: int) -> None:
        self._catch_up()
        stop = self._stations.pop(station)
        row = self._stops.rows[stop]
        self._servers.give_back(row["servers_at"])
        self._factors.give_back(row["factors_at"])
        if row["kind"] == tb.GENERATION:
            lose_jobs(self._current(), stop, 0)  # Only ghosts are left; this frees their rows.
            model = self._models.rows[row["model"]]
            self._steps.give_back(model["decode_at"])
            self._engines.give_back(model["engines_at"])
            self._models.give_back(int(row["model"]))
        self._remove(stop)

    def remove_link(self, link: int) -> None:
        self._catch_up()
        stop = self._links.pop(link)
        if self._stops.rows["kind"][stop] == tb.SHARED_LINK:
            free_ghosts(self._current(), stop)
        self._remove(stop)

    def _remove(self, stop: int) -> None:
        self._steps.give_back(self._stops.rows["steps_at"][stop])
        self._stops.give_back(stop)
        self._order = None

    def open_source(self, at_ns: int, query: int, blocks: Iterator[RequestBlock]) -> None:
        self._sources.open(query, blocks)
        if self._pool.rows.shape[1] != width(self._sources.operators):
            self._pool = tb.RowPool(self._sources.operators)  # This was the first source.
            self._tables = None

    def close_source(self, at_ns: int, query: int) -> None:
        self._sources.close(at_ns, query)

    def route(self, at_ns: int, query: int, route: Route | None) -> None:
        if route is None:
            self._sources.direct(at_ns, query, tb.NONE, tb.NONE)
            return
        tables = RouteTables(
            self._stations,
            self._links,
            self._visits,
            self._spans,
            self._tokens,
            self._add_gate,
            self._sources.operators,
        )
        laid = self._routes[route.deployment] = lay_out(query, route, tables)
        for stop, steps in laid.gates.items():
            self._stops.rows["steps"][stop] = len(steps)
            self._stops.rows["steps_at"][stop] = self._steps.put(np.array(steps))
        self._most_branches = max(self._most_branches, laid.most_branches)
        self._flights = grown(self._flights, route.deployment + 1)
        self._terms = grown(self._terms, route.deployment + 1)
        self._terms[route.deployment] = route.bound_ns, route.priority
        first = int(self._spans.rows["first"][laid.spans[0]])
        self._sources.direct(at_ns, query, first, route.deployment)
        self._tables = self._order = None

    def _add_gate(self, kind: int) -> int:
        stop = self._stops.take()
        self._stops.rows[stop] = _BLANK
        self._stops.rows["kind"][stop] = kind
        return stop

    def fail_station(self, at_ns: int, station: int) -> None:
        def fail(stop: int) -> None:
            self._stops.rows["failed"][stop] = 1
            take_off(self._current(), stop, tb.NONE, tb.IS_LOST, at_ns)
            if self._stops.rows["kind"][stop] == tb.GENERATION:
                lose_jobs(self._current(), stop, at_ns)
            if self._most_branches > 1:
                settle(self._current())

        self._change(at_ns, station, fail)

    def slow_down(self, at_ns: int, station: int, factor: float) -> None:
        def slow_down(stop: int) -> None:
            row = self._stops.rows[stop]
            row["slowdown"] = factor
            _note_pace(row)

        self._change(at_ns, station, slow_down)

    def _change(self, at_ns: int, station: int, change: Callable[[int], None]) -> None:
        def action() -> None:
            stop = self._stations.get(station)
            if stop is not None:  # otherwise it was removed earlier, without requests
                change(stop)

        self._orders.append((at_ns, action))

    def abort(self, at_ns: int, deployment: int) -> None:
        def action() -> None:
            flights = self._in_flight(deployment)
            if not flights:
                return
            route = self._routes[deployment]
            while self._pool.counts[tb.FREE] < flights * route.legs:  # There may be as many ghosts.
                self._grow()
            t = self._current()
            for first, length, *_ in self._spans.rows[list(route.spans)].tolist():
                for stop in self._visits.array["stop"][first : first + length].tolist():
                    take_off(t, stop, deployment, tb.IS_DROPPED, at_ns)
                    if self._stops.rows["kind"][stop] == tb.GENERATION:
                        drop_jobs(t, stop, deployment, at_ns)
            take_off(t, tb.SINK_STOP, deployment, tb.IS_DROPPED, at_ns)
            if route.legs > 1:
                recall(t, at_ns)

        self._orders.append((at_ns, action))

    # Queries of the control plane

    def busy_ns(self, station: int) -> int:
        self._catch_up()
        row = self._stops.rows[self._stations[station]]
        if row["kind"] == tb.GENERATION:
            first = self._models.rows["engines_at"][row["model"]]
            engines = self._engines.array[first : first + row["servers"]]
            running = engines["began_ns"][engines["steps"] > 0]
            return int(row["busy_ns"] + (self.now_ns - running).sum())
        if row["servers"] == 1:
            free_at = row["free_ns"]
        else:
            free_at = self._servers.array[row["servers_at"] : row["servers_at"] + row["servers"]]
        return int(row["busy_ns"] - np.maximum(0, free_at - self.now_ns).sum())

    def in_flight(self, deployment: int) -> int:
        self._catch_up()
        return self._in_flight(deployment)

    def _in_flight(self, deployment: int) -> int:
        return int(self._flights[deployment]) if deployment < len(self._flights) else 0

    # Moving

    def advance(self, until_ns: int) -> None:
        self._until_ns = max(self._until_ns, until_ns)
        most_ns = min(self._block_ns, MOST_POSTPONED_NS)
        changed = self._orders or self._order is None
        if changed or not self._patient or self._until_ns - self.now_ns >= most_ns:
            self._catch_up()

    def _catch_up(self) -> None:
        """Move requests up to the last sync point.

        The recorder calls this before anybody reads it. Until then, sync points are postponed: a
        long block visits each query's data once for several of its requests.
        """
        until_ns = self._until_ns
        if until_ns <= self.now_ns:
            return
        self._orders.sort(key=itemgetter(0))  # stable: orders of one time stay as given
        while self._orders and self._orders[0][0] < until_ns:
            at_ns, action = self._orders.pop(0)
            self._move(at_ns)
            action()
        self._move(until_ns)
        self._tell()

    def finish(self) -> None:
        self._catch_up()
        pool = self._pool
        which = np.flatnonzero(pool.rows[:, OUTCOME] == tb.IS_IN_FLIGHT)
        pool.rows[which, ENDED] = self.now_ns
        count = int(pool.counts[tb.ENDED_COUNT])
        pool.ended[count : count + len(which)] = which
        pool.counts[tb.ENDED_COUNT] += len(which)
        self._tell()
        pool.rows[which, OUTCOME] = tb.NONE
        stops = self._stops.rows
        stops["waiting"][stops["kind"] == tb.SHARED_LINK] = 0  # Their heaps are gone.

    def _move(self, until_ns: int) -> None:
        while self.now_ns < until_ns:
            left_ns = until_ns - self.now_ns
            blocks = max(1, round(left_ns / self._block_ns))  # equally long, so that none is tiny
            self._move_block(self.now_ns + -(-left_ns // blocks))

    def _move_block(self, cut_ns: int) -> None:
        self._sources.fill(cut_ns)
        if self._order is None:
            self._forget_routes()
            self._order = arrange(
                self._pool.times, self._stops.rows, self._visits.array, self._spans.rows
            )
        sources, first, births = self._sources.arrays(), 0, 0
        while True:
            before = int(self._pool.counts[tb.BORN])
            first = move(self._current(), sources, self._order, first, cut_ns)
            births += int(self._pool.counts[tb.BORN]) - before
            if first == len(sources.active) + len(self._order.others):
                break
            self._tell()
            if self._pool.counts[tb.FREE] < self._most_branches:
                self._grow()
        elapsed_ns, self.now_ns = cut_ns - self.now_ns, cut_ns
        if births:
            many = len(sources.active) > MANY_SOURCES
            most = MOST_REQUESTS if many else CACHED_REQUESTS
            aim = min(max(BLOCK_REQUESTS, PER_SOURCE * len(sources.active)), most)
            self._block_ns = max(LEAST_BLOCK_NS, elapsed_ns * aim // births)
        else:
            self._block_ns = max(self._block_ns, 2 * elapsed_ns)
        self._sources.retire(cut_ns)
        if self._pool.counts[tb.ENDED_COUNT] > BLOCK_REQUESTS // 2:
            self._tell()

    def _forget_routes(self) -> None:
        """Remove routes on which no request is or will be in flight."""
        deployments = np.fromiter(self._routes, np.int64, len(self._routes))
        for deployment in deployments[self._flights[deployments] == 0].tolist():
            route = self._routes[deployment]
            if self._sources.directs(route.query, deployment, self.now_ns):
                continue
            for gate in route.gates:
                self._steps.give_back(self._stops.rows["steps_at"][gate])
                self._stops.give_back(gate)
            self._visits.give_back(route.first)
            for tokens in route.tokens:
                self._tokens.give_back(tokens)
            for span in route.spans:
                self._spans.rows["length"][span] = 0
                self._spans.give_back(span)
            del self._routes[deployment]

    def _tell(self) -> None:
        pool = self._pool
        born, ended = pool.counts[tb.BORN], pool.counts[tb.ENDED_COUNT]
        if born or ended:
            self.recorder.record(pool.rows, pool.born[:born], pool.ended[:ended])
            pool.told()

    def _grow(self) -> None:
        self._pool.grow()
        self._tables = None

    def _current(self) -> tb.PlaneTables:
        if self._tables is None:
            pool = self._pool
            if self._most_branches > 1:
                pool.allow_branches()
            self._tables = tb.PlaneTables(
                **vars(pool),
                rows_f=pool.rows.view(np.float64),
                stops=self._stops.rows,
                stop_lines=self._stops.rows.view(np.int64).reshape(len(self._stops.rows), -1),
                visits=self._visits.array,
                tokens=self._tokens.rows,
                models=self._models.rows,
                engines=self._engines.array,
                steps=self._steps.array,
                servers=self._servers.array,
                factors=self._factors.array,
                flights=self._flights,
                terms=self._terms,
            )
        return self._tables


def _note_pace(stop: np.void) -> None:
    """Record, in a stop, whether its speed is nominal from now on."""
    constant = stop["rate"] == NOMINAL and stop["rate_until_ns"] == NEVER
    stop["steady"] = constant and stop["slowdown"] == 1.0
