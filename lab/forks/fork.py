"""``fork``: a recorded run, continued from any decision with something changed.

The world up to the decision is simulated again. Its planner is not called, because what its calls
did was recorded. From the decision on, everything is planned and simulated as in any run, under the
same random draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from numbers import Real
from typing import Any

from omegaconf import OmegaConf

from lab.common.errors import InputError
from lab.config.compose import Setup, with_planner
from lab.runs.api import Result, result_of
from scenarios.applications.nodes import pick_key
from scenarios.cluster import IDLE_INSTANCES
from scenarios.drift import MOST_S, DriftEvent
from sim.api.plan import Plan
from sim.api.planner import Planner
from sim.clock import ns, seconds
from sim.controlplane.recording import Choice, Forced, ForkError, Instead, Recorder


@dataclass(frozen=True)
class Changes:
    """What is different from the fork on; nothing by default.

    Args:
        plans: for the ids of queries, the plan to deploy, or ``"wait"`` for no order now, or
            ``"refuse"`` to end the query's deployment and hide it from the planner. The choice
            holds in the first call of the planner that can decide on the query; later calls may
            decide otherwise, except about a refused query. The time until the plan is ordered is
            that of the planner's own search in the call.
        planner: another planner. It begins without records, as after a crash, but with all results
            of profiling.
        machines: the number of machines of a node. More machines join at the fork; those that leave
            lose their work and do not come back.
        drift: further changes of the world, none of them before the fork.
    """

    plans: Mapping[int, Plan | str] = field(default_factory=dict)
    planner: Planner | None = None
    machines: Mapping[str, int] = field(default_factory=dict)
    drift: Sequence[DriftEvent] = ()


def fork(run: Result, at_s: float, changes: Changes | None = None) -> Result:
    """Continue a run from the first decision at or after a time with something changed.

    Args:
        run: a run that was recorded, by ``lab.run(..., record=True)`` or by a fork.
        at_s: simulated time in seconds.
        changes: what is different from then on. By default, nothing is, and the tables are the same
            unless the run was forked after ``at_s``: the planner of that fork, and the machines
            that joined in it, then take effect from ``at_s`` on.

    Returns:
        The whole run from its start, with the changes; it can be forked again.

    Raises:
        InputError: the run cannot be continued in this way; the message is one sentence.
    """
    changes = changes or Changes()
    if not isinstance(run, Result) or run.recorded is None:
        raise InputError("run: was not recorded; use lab.run(..., record=True)")
    recorded = run.recorded
    setup = changed(recorded.setup, at_s, changes)
    calls = recorded.recording.calls
    first = next((at for at, call in enumerate(calls) if call.at_ns >= ns(at_s)), None)
    if first is None:
        last = f"was at {seconds(calls[-1].at_ns):g} s" if calls else "never came"
        raise InputError(f"at_s={at_s:g}: no decision follows; the last call of the planner {last}")
    forced = _forced(run, first, at_s, changes.plans)
    joining = {}
    for node, count in changes.machines.items():
        before = run.scenario.cluster.nodes[node].count
        if count > before:
            joining[node] = before
    recorder = Recorder(recorded.recording, first, forced, joining)
    result = continued(setup, recorder)
    if late := [each.query for each in forced if each in recorder.pending]:
        raise InputError(
            f"query {late[0]}: no call of the planner from the fork until its departure could "
            "decide on it"
        )
    return result


def _check_time(at_s: float, horizon_s: float) -> None:
    if not isinstance(at_s, Real) or not isfinite(at_s):
        raise InputError(f"at_s={at_s!r}: must be a time in seconds")
    if at_s < 0:
        raise InputError(f"at_s={at_s:g}: is before the start of the run; must be 0 s or more")
    if at_s >= horizon_s:
        raise InputError(f"at_s={at_s:g}: is after the end of the run, which is at {horizon_s:g} s")


def continued(setup: Setup, recorder: Recorder) -> Result:
    """Simulate a setup with a recorder; raise InputError if a choice is not possible."""
    try:
        return result_of(setup, recorder=recorder)
    except ForkError as error:
        raise InputError(str(error)) from None


def _forced(run: Result, first: int, at_s: float, plans: Mapping[int, Plan | str]) -> list[Forced]:
    """Return the choices for queries; raise InputError if one is not possible."""
    ends_s = dict(run.queries.select("query", "departure_s").iter_rows())
    found = []
    for query, choice in plans.items():
        if query not in ends_s:
            raise InputError(
                f"query {query!r}: is unknown; the run has the queries {min(ends_s)} to "
                f"{max(ends_s)}"
                if ends_s
                else f"query {query!r}: is unknown; the run has none"
            )
        if (end_s := ends_s[query]) is not None and end_s <= at_s:
            raise InputError(f"query {query}: departed at {end_s:g} s, before the fork")
        found.append(Forced(first, query, _choice(query, choice)))
    return found


def _choice(query: int, choice: Any) -> Choice:
    if isinstance(choice, Plan):
        return choice
    if choice in tuple(Instead):
        return Instead(choice)
    raise InputError(f"query {query}: {choice!r} must be a Plan, 'wait' or 'refuse'")


def changed(setup: Setup, at_s: float, changes: Changes) -> Setup:
    """Return the setup of the changed world; nothing is simulated.

    Args:
        setup: of the run.
        at_s: simulated time of the fork in seconds.
        changes: what is different from then on; plans are not looked at.

    Raises:
        InputError: the time is not within the run, or a change is not valid.
    """
    scenario = setup.scenario()
    _check_time(at_s, scenario.horizon_s)
    config: Any = OmegaConf.to_container(setup.config)
    nodes = scenario.cluster.nodes
    events = list(changes.drift)
    for event in events:
        if not isinstance(event, DriftEvent):
            raise InputError(f"drift: {event!r} must be a DriftEvent")
        if event.at_s < at_s:
            raise InputError(
                f"drift: at_s={event.at_s:g} of a {event.kind} is before the fork at {at_s:g} s"
            )
    for node, count in changes.machines.items():
        try:
            pick_key("machines", node, tuple(nodes), "node")
        except ValueError as error:
            raise InputError(str(error)) from None
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise InputError(f"machines: {node}={count!r} must be a whole number of 0 or more")
        before = nodes[node].count
        gone = sum(
            (each.get("kind"), each.get("node"), each.get("duration_s"))
            == ("machine_failure", node, MOST_S)
            for each in config["drift"].get("events") or ()
        )
        if gone and count > before - gone:
            raise InputError(
                f"machines: {node}={count} must be at most {before - gone}, because machines that "
                "left do not come back"
            )
        if count > before and setup.config.cluster.profiling.kind == IDLE_INSTANCES:
            raise InputError(
                f"machines: {node}={count} must be at most {before}, because idle instances "
                "profile here, and the machines define their lanes"
            )
        if count > before:
            config["cluster"]["nodes"][node]["count"] = count
        events += [
            DriftEvent("machine_failure", at_s, node=node, machine=number, duration_s=MOST_S)
            for number in range(count, before - gone)
        ]
    if events:
        config["drift"]["events"] = [*(config["drift"].get("events") or ()), *map(asdict, events)]
    setup = replace(setup, config=OmegaConf.create(config))
    setup.scenario()  # raises InputError if a change is not valid
    return setup if changes.planner is None else with_planner(setup, changes.planner)
