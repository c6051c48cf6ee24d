"""A state machine drives worlds, and checks every invariant of the world after each step.

The rules choose when queries arrive, what drifts and fails, and what the planner orders, at any
time ahead of the present. They kill the simulator, which goes on from its checkpoint. A failure
prints the steps that lead to it.
"""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from omegaconf import OmegaConf
from polars.testing import assert_frame_equal
from world_checks import check_end, check_now, check_summary
from world_script import APPLICATIONS, HORIZON_S, KINDS, QUEUES, Action, Given, Script, Scripted
from world_witness import Witness
from worlds import Does, Recording

from lab.runs import resume
from lab.runs.resume import Checkpoint
from lab.runs.run_directory import CHECKPOINT, RunDirectory
from lab.runs.runner import simulate
from scenarios.drift import FIELDS_OF, DriftEvent
from sim.cluster.machine import Machine
from sim.cluster.machines import Machines
from sim.controlplane import planner_calls
from sim.controlplane.world import World
from sim.dataplane.base.interface import DROPPED, OUTCOMES
from sim.dataplane.base.request_rows import OUTCOME
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane
from sim.metrics.goodput import SloMonitor
from sim.planning.call import DeploymentOrder
from sim.planning.memory import Memory
from sim.planning.service import PlanningService

PLANES = {"blocks": BlocksPlane, "events": EventsPlane}
AHEAD_S = st.sampled_from((0.25, 0.75, 1.5, 3.0, 6.25, 12.5))
"""How far ahead of the present something is planned; never at a checkpoint's time."""

SOON_S = st.sampled_from((0.3, 1.0, 2.5, 5.0))
ACTIONS = st.builds(
    Action,
    kind=st.sampled_from(("deploy", "deploy", "profile", *KINDS)),
    query=st.integers(0, 3),
    plan=st.integers(0, 20_000),
    replicas=st.sampled_from((1, 1, 2, 3)),
    batch=st.sampled_from((1, 1, 4)),
    percent=st.sampled_from((100, 40)),
    count=st.sampled_from((1, 20, 300_000, 3_000_000, 10_000_000)),
    fitting=st.booleans(),
)
EVENTS = (
    *("machine_failure", "planner_crash", "machine_failure", "planner_crash", "mps_fault"),
    *("device_slowdown", "link_degradation", "content_shift"),
)


class WorldMachine(RuleBasedStateMachine):
    """A world, and all that its script can say."""

    def __init__(self) -> None:
        super().__init__()
        self.world: Witness | None = None
        self.sound = False

    @initialize(
        application=st.sampled_from(sorted(APPLICATIONS)),
        queue=st.sampled_from(sorted(QUEUES)),
        plane=st.sampled_from(sorted(PLANES)),
        seed=st.integers(0, 1000),
        eager=st.sampled_from((True, True, False)),
        arrivals=st.lists(st.integers(1, 60), min_size=1, max_size=3, unique=True),
    )
    def begin(self, application, queue, plane, seed, eager, arrivals):
        times_s = [each / 4 for each in sorted(arrivals)]
        self.script = Script(application, queue, seed, eager, times_s)
        self.folder = TemporaryDirectory()
        self.directory = Path(self.folder.name)
        self.checkpoint = Checkpoint(self.directory / "live", resume=False)
        self.plane = plane
        self.world = self.build()

    def build(self) -> Witness:
        made = Witness(self.script, PLANES[self.plane], self.checkpoint.profiling_log)
        made.take()
        return made

    def rebuild(self) -> None:
        """Build the world of the script up to now; nothing that happened may have changed."""
        before, self.world = self.world, self.build()
        self.world.run(before.now_s)
        self.world.take()
        assert self.world.planner.calls == before.planner.calls, "a planner sees no future"
        assert self.world.ledger.facts() == before.ledger.facts()
        assert self.world.billing.bill_usd == before.billing.bill_usd
        assert self.world.billing.attributed_usd == before.billing.attributed_usd
        for name, frame in before.frames.items():
            assert_frame_equal(frame, self.world.frames[name], check_exact=True)

    def going_on(self) -> bool:
        return self.world is not None and self.world.now_s < HORIZON_S

    @precondition(going_on)
    @rule(actions=st.lists(ACTIONS, min_size=1, max_size=5), seconds=SOON_S)
    def order(self, actions, seconds):
        """Let the planner do something in its next call."""
        self.script.actions.setdefault(len(self.world.planner.calls), []).extend(actions)
        self.advance(seconds)

    @rule(seconds=SOON_S)
    def advance(self, seconds):
        """Let time pass; at the horizon, this is the only rule, and does nothing."""
        self.step()
        self.world.run(self.world.now_s + seconds)

    @precondition(going_on)
    @rule(ahead_s=AHEAD_S)
    def arrive(self, ahead_s):
        self.step()
        at_s = round(self.world.now_s * 4) / 4 + ahead_s
        if at_s > max(self.script.arrivals):
            self.script.arrivals.append(at_s)
            self.anew()

    @precondition(going_on)
    @rule(
        kind=st.sampled_from(EVENTS),
        ahead_s=AHEAD_S,
        machine=st.sampled_from((("edge", 0), ("cloud", 0), ("cloud", 1))),
        factor=st.sampled_from((0.02, 0.3, 0.9)),
        duration_s=st.sampled_from((2.0, 7.0, 50.0)),
        ramp_s=st.sampled_from((0.0, 2.0)),
    )
    def drift(self, kind, ahead_s, machine, factor, duration_s, ramp_s):
        self.step()
        at_s = round(self.world.now_s * 4) / 4 + ahead_s + 0.125
        node, number = machine if kind in ("machine_failure", "mps_fault") else (None, 0)
        drawn = {
            "factor": factor,
            "share": 0.7,
            "node": node,
            "machine": number,
            "duration_s": duration_s,
            "ramp_s": ramp_s,
            "period_s": None,
        }
        event = DriftEvent(kind, at_s, **{one: drawn[one] for one in FIELDS_OF[kind]})
        self.script.events.append(event)
        self.anew()

    def anew(self) -> None:
        """Go on in a world whose future is another one."""
        self.checkpoint.close()
        self.checkpoint = Checkpoint(self.directory / "live", resume=True)
        self.rebuild()

    @precondition(going_on)
    @rule(left=st.sampled_from((0.0, 0.4, 0.8, 0.99, 1.0)), plane=st.sampled_from(sorted(PLANES)))
    def kill(self, left, plane):
        """Kill the simulator: some part of its checkpoint is on disk, and it goes on from that."""
        self.step()
        self.checkpoint.close()
        path = self.directory / "live" / CHECKPOINT
        written = path.read_bytes()
        path.write_bytes(written[: round(left * len(written))])
        kept = max(0, path.read_bytes().count(b"\n") - 1)
        self.checkpoint = Checkpoint(self.directory / "live", resume=True)
        self.plane = plane
        self.rebuild()
        log = self.checkpoint.profiling_log
        assert log.restored == kept, "what was saved is not measured again"

    def step(self) -> None:
        self.sound = False
        Seen["steps"] += 1

    @invariant()
    def every_invariant(self):
        if self.world is not None:
            self.world.take()
            check_now(self.world)
            self.sound = True

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if self.sound:
                self.world.run(HORIZON_S)
                self.every_invariant()
                check_end(self.world)
                self.ends_alike()
                Seen.update(self.world.frames["decisions"]["outcome"])
                Seen.update(each.outcome for each in self.world.ledger.ended.values())
                Seen["profiled"] += len(self.world.frames["profiling"])
        finally:
            self.folder.cleanup()

    def ends_alike(self) -> None:
        """Resume the run in its directory; compare it with one that nobody interrupted."""
        self.checkpoint.close()
        frames, summary = self.run("live", self.plane, resume=True)
        other = next(name for name in PLANES if name != self.plane)
        whole, _ = self.run("whole", other, resume=False)
        for name, frame in self.world.frames.items():
            assert_frame_equal(frame, frames[name], check_exact=True)
        assert files(self.directory / "live") == files(self.directory / "whole")
        check_summary(frames, summary)
        check_summary(whole, summary)
        # Common randomness: a planner that does nothing faces the same requests.
        recording = Recording()
        idle = World(
            self.script.scenario(),
            Does(lambda _: None),
            self.script.seed,
            BlocksPlane,
            None,
            [recording],
        )
        idle.run(HORIZON_S)
        assert draws(recording.records) == draws(self.world.ledger.ended.values())

    def run(self, name: str, plane: str, resume: bool):
        directory = self.directory / name
        checkpoint = Checkpoint(directory, resume)
        parts = []
        written = RunDirectory(directory, OmegaConf.create({}))
        world = Given(self.script, PLANES[plane])
        sinks = [lambda frames, _: parts.append(frames), written.add]
        planner = Scripted(self.script)
        log = checkpoint.profiling_log
        summary = simulate(world, "scripted", planner, sinks, profiling_log=log)
        assert planner.calls == self.world.planner.calls
        checkpoint.close()
        (directory / CHECKPOINT).unlink()
        return {key: pl.concat([part[key] for part in parts]) for key in parts[0]}, summary


Seen: Counter[str] = Counter()
"""What all machines took and met with."""


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.parquet")
    }


def draws(requests) -> dict:
    return {
        (each.query, each.number): (each.arrival_ns, each.size, tuple(each.variability))
        for each in requests
    }


def drive(examples: int, steps: int, *phases: Phase) -> None:
    """Run the machine for so many examples; by default, look for the shortest that fails."""
    run_state_machine_as_test(
        WorldMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases or (Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_invariant_holds_after_every_step():
    Seen.clear()
    drive(2, 20)
    assert Seen["steps"] > 20
    some = {"completed", "dropped", "deployed", "profiled"}
    assert not some - Seen.keys(), "these worlds show something"


@pytest.mark.slow
def test_every_invariant_holds_after_each_of_many_steps():
    Seen.clear()
    drive(220, 60)
    assert Seen["steps"] >= 10_000
    assert not {*OUTCOMES, "ended"} - Seen.keys(), "these worlds show everything"


# Faults that the machine must find


def not_drained(world, state):
    """A departing query's deployment keeps what it holds."""
    state.loading = state.active = None


def active_twice(world, state, deployment):
    """The deployment before keeps serving, too."""
    yield world.env.timeout(max(0, deployment.active_from_ns - world.env.now))
    state.loading, state.active = None, deployment
    state.active_since_ns[deployment.number] = world.env.now
    state.egress_usd[deployment.number] = 0.0
    accuracies = world._accuracies(state, deployment)
    world.monitor.deploy(state.query.id, deployment.number, world.env.now, accuracies)
    world.data.route(world.env.now, state.query.id, world._routes.route(state, deployment))


def dropped_twice(monitor, rows, born, ended, record=SloMonitor.record):
    """A dropped request is counted twice."""
    dropped = ended[rows[ended, OUTCOME] == OUTCOMES.index(DROPPED)]
    record(monitor, rows, born, np.concatenate([ended, dropped]))


def held_for_nothing(machines, *args, join=Machines.join):
    """What a deployment holds costs nothing until something else changes."""
    got = join(machines, *args)
    machines.changed.clear()
    return got


def rented_while_down(machine):
    """A machine that is down is billed."""
    return machine.standby or bool(machine.slots)


def one_record_less(path, lines, records=resume._records):
    """Resuming skips the last record."""
    return records(path, lines)[:-1]


def at_once(order):
    """An order is carried out before its search has ended."""
    return order.search.started_ns


def future(service, query, now_ns):
    """A planner measures on content of after the next shift."""
    return service.registry.living[query.id].truth.content[-1][1]


def never_away(world, trigger, call=planner_calls.call_planner):
    """A planner is called while its process is down."""
    world.planner_away_until_ns = 0
    call(world, trigger)


def as_fast(plane, at_ns, station, factor):
    """One data plane knows no interference."""


def nothing_lost(memory):
    """A crash of the planner takes nothing out of its memory."""


FAULTS = {
    World: {"withdraw": not_drained, "activate": active_twice, "call_planner": never_away},
    SloMonitor: {"record": dropped_twice},
    Machines: {"join": held_for_nothing},
    Machine: {"rented": property(rented_while_down)},
    resume: {"_records": one_record_less},
    DeploymentOrder: {"at_ns": property(at_once)},
    PlanningService: {"content": future},
    Memory: {"fall_back": nothing_lost},
    EventsPlane: {"slow_down": as_fast},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "name"),
    [pytest.param(of, name, id=name) for of, faults in FAULTS.items() for name in faults],
)
def test_a_planted_fault_is_found(monkeypatch, of, name):
    monkeypatch.setattr(of, name, FAULTS[of][name])
    with pytest.raises(AssertionError):
        drive(150, 30, Phase.generate)
