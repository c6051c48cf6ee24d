"""What each call of a planner did, recorded, so that a run can be forked at any call.

A world cannot be copied, because SimPy's processes cannot. But planners act on it only by the
outcome of their calls, and keep what they learn only in the planning service. So a world gets into
the same state again if recorded calls are repeated, and nothing is planned.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any

from scenarios.queries import Query, QueryTruth
from sim.api.errors import PlannerError
from sim.api.plan import Plan
from sim.api.planner import Planner, Settings, generators
from sim.clock import seconds
from sim.cluster.machine import Machine
from sim.cluster.preparing import boot
from sim.cluster.queries import QueryState
from sim.controlplane.planner_calls import Outcome, planned
from sim.controlplane.world import World
from sim.planning.call import DeploymentOrder, PlanningCall
from sim.planning.service import Step


class ForkError(ValueError):
    """A recorded run cannot be continued as wanted; the message is a sentence."""


class Instead(StrEnum):
    """What can be chosen for a query instead of a plan."""

    WAIT = "wait"  # no order now: the query keeps waiting, or keeps its present plan
    REFUSE = "refuse"  # its deployment ends, and the planner never sees it again


Choice = Plan | Instead


@dataclass(frozen=True)
class Forced:
    """A choice for a query in the first call, from a number on, that can decide on the query."""

    call: int  # number of the first call, from 0
    query: int  # id of the query
    choice: Choice


@dataclass(frozen=True)
class RecordedCall:
    """What one call of a planner did."""

    at_ns: int
    trigger: str
    outcome: Outcome  # what the world carried out, after forced choices
    steps: Sequence[Step]  # what it changed in the planning service
    generators: Mapping[str, Any]  # states of the planner's random generators after it, by name
    waiting: frozenset[int]  # ids of the queries without a plan on which it could decide
    made: Sequence[Forced]  # the forced choices that were made in it
    joined: Mapping[str, int]  # by node, the number of the first machine that joined before it
    planner: Planner
    settings: Settings  # of the planner


@dataclass(frozen=True)
class Recording:
    """The calls of a planner in a run, with what forks have in common with the run."""

    calls: Sequence[RecordedCall]
    queries: Mapping[int, Query]


class Recorder:
    """Decides as the planner does and records its calls, but first repeats those of a recording.

    ``repeated`` is the number of calls to repeat. The planner of the world is called from then on,
    with ``forced`` choices. If it is not the planner of the recording, it begins without records.
    Machines of a node from number ``joining[node]`` on join then. Choices that were forced in later
    calls of the recording hold, too, and are made first. ``look`` is called in the first call that
    is not repeated, after these and before ``forced``.
    """

    def __init__(
        self,
        earlier: Recording | None = None,
        repeated: int = 0,
        forced: Iterable[Forced] = (),
        joining: Mapping[str, int] | None = None,
        look: Callable[[World, Outcome], None] = lambda *_: None,
    ) -> None:
        self._declared = {} if earlier is None else earlier.queries
        calls = () if earlier is None else earlier.calls
        self._earlier, dropped = calls[:repeated], calls[repeated:]
        self.pending = list(forced)
        now = {each.query for each in self.pending}
        self._kept = [one for call in dropped for one in call.made if one.query not in now]
        self._joining: dict[str, int] = {}
        for each in (joining or {}, *(call.joined for call in dropped)):
            self._joining |= {
                node: min(number, self._joining.get(node, number)) for node, number in each.items()
            }
        self._look = look
        self._refused = {
            one.query for call in self._earlier for one in call.made if one.choice == Instead.REFUSE
        }
        self._calls: list[RecordedCall] = []
        self._queries: dict[int, Query] = {}

    @property
    def recording(self) -> Recording:
        """What was recorded so far."""
        return Recording(tuple(self._calls), self._queries)

    def begin(self, world: World) -> None:
        """Record a world that has not run yet."""
        world.decide = self
        world.watchers.append(self)
        world.declared = self._declared
        self._settings = world.settings
        if self._earlier:
            world.settings = self._earlier[0].settings
        for joining in (self._joining, *(call.joined for call in self._earlier)):
            for machine in _joining(world, joining):
                if machine.up:
                    world.machines.fail(machine, world.env.now)

    def arrived(self, query: Query, truth: QueryTruth) -> None:
        """Note a query that arrives, see `Watcher`."""
        self._queries[query.id] = query

    def reserved(self, plan: Plan) -> None:
        """Ignore a reservation, see `Watcher`."""

    def __call__(self, world: World, trigger: str) -> Outcome:
        """Return the outcome of the next call; record it."""
        number = len(self._calls)
        if number < len(self._earlier):
            call = self._repeat(world, trigger, self._earlier[number])
        else:
            call = self._record(world, trigger)
        self._calls.append(call)
        return call.outcome

    def _repeat(self, world: World, trigger: str, call: RecordedCall) -> RecordedCall:
        if (call.at_ns, call.trigger) != (world.env.now, trigger):
            raise ForkError(
                f"the run cannot be repeated: its planner was called at {seconds(call.at_ns):g} s "
                f"on {call.trigger}, and now at {world.now_s:g} s on {trigger}"
            )
        _join(world, call.joined)
        world.settings = call.settings
        world.planning_service.repeat(call.steps)
        if call.planner is world.planner:
            _set_generators(world.planner, call.generators)
        return call

    def _record(self, world: World, trigger: str) -> RecordedCall:
        service, living = world.planning_service, world.registry.living
        for query in self._refused & living.keys():
            living[query].searching = True  # Planners do not see queries that are under search.
        states = {query: state for query, state in living.items() if not state.searching}
        waiting = frozenset(query for query, state in states.items() if state.plan is None)
        steps: list[Step] = []
        first = len(self._calls) == len(self._earlier)
        joined = self._joining if first else {}
        service.steps = steps
        try:
            if first:
                _join(world, joined)
                world.settings = self._settings
                if self._earlier and self._earlier[-1].planner is not world.planner:
                    service.forget_records()
            outcome, kept = self._made(self._kept, world, planned(world, trigger), states)
            if first:
                self._look(world, outcome)
            outcome, made = self._made(self.pending, world, outcome, states)
        finally:
            service.steps = None
        return RecordedCall(
            world.env.now,
            trigger,
            outcome,
            steps,
            _generators(world.planner),
            waiting,
            [*kept, *made],
            joined,
            world.planner,
            world.settings,
        )

    def _made(
        self,
        wanted: list[Forced],
        world: World,
        outcome: Outcome,
        states: Mapping[int, QueryState],
    ) -> tuple[Outcome, list[Forced]]:
        """Return an outcome with the choices that can be made now, and these; drop them."""
        number, made = len(self._calls), []
        for each in list(wanted):
            if each.call <= number and each.query in states:
                wanted.remove(each)
                outcome = chosen(world, outcome, states[each.query].query, each.choice)
                made.append(each)
                if each.choice == Instead.REFUSE:
                    self._refused.add(each.query)
        return outcome, made


def chosen(world: World, outcome: Outcome, query: Query, choice: Choice) -> Outcome:
    """Return an outcome with a choice for a query, made when the planner's search for it ends.

    Raises:
        ForkError: the chosen plan cannot run, or does not fit.
    """
    service = world.planning_service
    orders, searches = dict(outcome.orders), dict(outcome.searches)
    orders.pop(query.id, None)
    if choice == Instead.WAIT:
        return replace(outcome, orders=orders)
    if query.id not in searches:
        searches[query.id] = service.new_search(
            world.env.now, world.settings.budget_s, query.dataset
        )
    plan = choice if isinstance(choice, Plan) else None
    order = DeploymentOrder(query.id, plan, searches[query.id])
    if plan is not None and (reason := misfit(world, orders.values(), query, plan)):
        raise ForkError(reason)
    return replace(outcome, orders=orders | {query.id: order}, searches=searches)


def misfit(world: World, orders: Iterable[DeploymentOrder], query: Query, plan: Plan) -> str | None:
    """Return why a plan cannot be deployed now, together with other orders; None if it can."""
    living = world.registry.living
    call = PlanningCall(world.planning_service, world.env.now, world.settings.budget_s)
    try:
        wanted = call.figures(query, plan).off_device
    except PlannerError as error:
        return str(error)
    others = [
        call.figures(living[order.query].query, order.plan).off_device
        for order in orders
        if order.plan is not None and order.query != query.id
    ]
    if world.machines.first_that_fits(others, [[wanted]]) == [None]:
        return f"query {query.id}: {plan}: does not fit on the free machines at {world.now_s:g} s"
    return None


def _joining(world: World, joining: Mapping[str, int]) -> list[Machine]:
    return [
        each for node, number in joining.items() for each in world.machines.pools[node][number:]
    ]


def _join(world: World, joining: Mapping[str, int]) -> None:
    """Let machines join that were down since the start, as after a failure."""
    for machine in _joining(world, joining):
        if not machine.up:
            world.billing.settle(world.env.now)
            world.machines.recover(machine, world.env.now)
            world.deployments.usage.note(machine, world.env.now)
            boot(world.deployments.cluster, machine, world.env.now)


def _generators(planner: Planner) -> dict[str, Any]:
    return {
        name: each.getstate() if isinstance(each, Random) else each.bit_generator.state
        for name, each in generators(planner).items()
    }


def _set_generators(planner: Planner, states: Mapping[str, Any]) -> None:
    for name, each in generators(planner).items():
        if isinstance(each, Random):
            each.setstate(states[name])
        else:
            each.bit_generator.state = states[name]
