"""The event data plane's stations of language models, with continuous batching (``Iterations``).

All iterations between two changes of an engine's active requests have the same duration and form a
*run*. The end of a run is known when the run begins. When a request that the engine can admit
arrives, the run is shortened to the end of its present iteration. At the end of a run, finished
requests leave first. After all arrivals at that time, the engine admits requests in the order of
the queue's discipline. A request that was assigned to the next iteration stays assigned.
"""

from dataclasses import dataclass, field
from heapq import heappop

from simpy import Event, Interrupt
from simpy.events import NORMAL

from scenarios.applications.dataset import Tokens
from sim.clock import Clock
from sim.dataplane.base.durations import batch_ns, whole
from sim.dataplane.base.interface import DROPPED, LOST, SHED, StationSpec, Visit
from sim.dataplane.base.queueing import is_late, steps_to_boundary
from sim.dataplane.events.request import LOW, Request, ScheduledEvent, call_at, interrupt
from sim.dataplane.events.station import Queue, StationJob


@dataclass(slots=True, eq=False)
class GenerationJob(StationJob):
    """A request at a station of a language model."""

    prompt_tokens: int  # tokens of its prompt
    left: int  # tokens that each of its sequences still has to generate
    sequences: int  # its sequences
    admitted_ns: int = 0  # the time at which its prefill began

    @property
    def kv_tokens(self) -> int:
        """Number of tokens for which memory is reserved; valid before generation begins."""
        return self.prompt_tokens + self.sequences * self.left


@dataclass(slots=True, eq=False)
class Engine:
    """One replica of a language model."""

    number: int  # number within the station, from 0
    active: list[GenerationJob] = field(default_factory=list)  # requests it serves
    # Requests that it admits at the next boundary.
    joining: list[GenerationJob] = field(default_factory=list)
    # The tokens of memory that the requests of each list reserve.
    reserved: dict[GenerationJob, int] = field(default_factory=dict)
    began_ns: int | None = None  # when the present run began; None between runs
    step_ns: int = 0  # length of each iteration of the run
    steps: int = 0  # number of iterations of the run
    run: int = 0  # number of the run, to recognise the end of a run that was cut

    @property
    def sequences(self) -> int:
        """Number of sequences that are active, or will be from the next iteration on."""
        return sum(job.sequences for job in self.reserved)

    @property
    def kv_tokens(self) -> int:
        """Number of tokens for which memory is reserved."""
        return sum(self.reserved.values())


class GenerationStation(Queue[GenerationJob]):
    """A station of a language model: the queue that the engines of one operator share."""

    def __init__(self, env: Clock, spec: StationSpec) -> None:
        assert spec.iterations is not None
        super().__init__(env, spec)
        self.iterations = spec.iterations
        self.engines = [Engine(number) for number in range(spec.servers)]
        self._dispatch_due = False

    def enter(self, request: Request, visit: Visit) -> ScheduledEvent:
        """Queue a request; the returned event occurs when its last token is generated."""
        operator, mean = visit.operator, visit.mean
        assert isinstance(mean, Tokens)
        if self.failed:
            raise Interrupt(LOST)  # In the process of the request itself, which calls this.
        job = GenerationJob(
            request,
            operator,
            self.env.now,
            ScheduledEvent(self.env),
            whole(mean.prompt * request.size),
            whole(mean.output * request.length * request.variability[operator]),
            mean.sequences,
        )
        if not self._has_room(Engine(0), job):
            raise Interrupt(DROPPED)  # The request would never fit, and would block all later ones.
        self._put(job)
        if not self._dispatch_due:
            self._dispatch_due = True
            call_at(self.env, self.env.now, LOW, self._dispatch_arrivals)
        return job.served

    def _dispatch_arrivals(self, _: Event) -> None:
        """Assign waiting requests to engines, which admit them at their next iteration."""
        self._dispatch_due = False
        self._hand_out()
        if self.spec.capacity is not None:
            self._drop_last(len(self.waiting) - self.spec.capacity)

    def _hand_out(self) -> None:
        """Assign each waiting request to the engine with room that has the fewest sequences."""
        assigned: dict[Engine, None] = {}
        while self.waiting:
            job = self.waiting[0][-1]
            able = [engine for engine in self.engines if self._has_room(engine, job)]
            if not able:
                break
            heappop(self.waiting)
            if self.spec.shed_late and is_late(job.request.deadline_ns, self.env.now):
                interrupt(job.request, SHED)
                continue
            engine = min(able, key=lambda engine: engine.sequences)  # the first, if equal
            engine.joining.append(job)
            engine.reserved[job] = job.kv_tokens
            assigned[engine] = None
        for engine in assigned:
            if engine.began_ns is not None:
                self._cut(engine)
            elif not engine.active:  # The engine is idle, so it can begin an iteration at any time.
                self._start_run(engine)

    def _has_room(self, engine: Engine, job: GenerationJob) -> bool:
        most = len(self.iterations.decode_ns)
        return (
            engine.sequences + job.sequences <= most
            and engine.kv_tokens + job.kv_tokens <= self.iterations.kv_tokens
        )

    def _cut(self, engine: Engine) -> None:
        """Shorten the present run to the end of its present iteration, if it is longer."""
        assert engine.began_ns is not None
        steps = steps_to_boundary(engine.began_ns, self.env.now, engine.step_ns)
        if steps < engine.steps:
            engine.steps = steps
            self._schedule_end(engine)

    def _schedule_end(self, engine: Engine) -> None:
        assert engine.began_ns is not None
        engine.run += 1
        run = engine.run

        def end(_: Event) -> None:
            if engine.run == run and not self.failed:
                self._end_run(engine)

        call_at(self.env, engine.began_ns + engine.steps * engine.step_ns, NORMAL, end)

    def _end_run(self, engine: Engine) -> None:
        """Let finished requests leave; after all arrivals at this time, begin the next run."""
        engine.began_ns = None
        self.busy_ns += engine.steps * engine.step_ns
        still = []
        for job in engine.active:
            job.left -= engine.steps
            if job.left > 0:
                still.append(job)
                continue
            del engine.reserved[job]
            job.request.compute_ns[job.operator] = self.env.now - job.admitted_ns
            self.env.schedule(job.served, NORMAL)
        engine.active = still

        def begin(_: Event) -> None:
            if not self.failed:
                self._hand_out()
                self._start_run(engine)

        call_at(self.env, self.env.now, LOW, begin)

    def _start_run(self, engine: Engine) -> None:
        """Admit joining requests, and begin a run: one iteration with prefill, or only decoding."""
        if engine.began_ns is not None:
            return  # the engine was idle, and the assignment has just begun a run
        now, iterations = self.env.now, self.iterations
        joining, engine.joining = engine.joining, []
        old = sum(job.sequences for job in engine.active)
        engine.active += joining
        if not engine.active:
            return
        step_ns = iterations.decode_ns[old - 1] if old else 0
        steps = min(job.left for job in engine.active)
        if joining:
            steps = 1
            step_ns += iterations.prefill_fixed_ns
            for job in joining:
                step_ns += iterations.prompt_ns(job.prompt_tokens)
                job.admitted_ns = now
                job.request.queueing_ns[job.operator] = now - job.entered_ns
        step_ns = batch_ns(step_ns, 1.0, self.slowdown)
        engine.began_ns, engine.step_ns, engine.steps = now, step_ns, steps
        self._schedule_end(engine)

    def busy_until(self, now_ns: int) -> int:
        """Return the busy time in ns up to ``now_ns``, summed over engines."""
        running = [now_ns - each.began_ns for each in self.engines if each.began_ns is not None]
        return self.busy_ns + sum(running)

    def withdraw(self, request: Request) -> None:
        """Remove a request from the station, unless its prefill has begun."""
        super().withdraw(request)
        for engine in self.engines:
            for job in [job for job in engine.joining if job.request is request]:
                engine.joining.remove(job)
                del engine.reserved[job]

    def fail(self) -> None:
        """Let the station fail: requests that are there or arrive later are lost."""
        self._lose(job.request for engine in self.engines for job in engine.reserved)
