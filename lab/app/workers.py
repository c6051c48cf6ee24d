"""The processes that make runs for all open pages; they are kept, so that they stay warm."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing import get_context
from threading import Lock, Thread
from typing import Any

from lab.app.controls import SCENARIOS
from lab.app.runs import Message, Task, run
from lab.common.orphans import end_with
from lab.run_cache.jobs import prepare_workers

PAGES = 64
"""Number of open pages from which on one page can end the runs of another."""
REMEMBERED = 200
"""Number of finished runs that are kept, at 0.1 MB each, so that a move back answers at once."""
WARM_S = 30
"""Simulated seconds of the runs that load and compile what later runs need."""

Take = Callable[[Message], None]
_shared: dict[str, Any] = {}
"""In a worker: the numbers of the newest moves, and where messages go."""


def _start(parent: int, newest: Any, box: Any) -> None:
    end_with(parent)
    _shared.update(newest=newest, box=box)


def _work(task: Task) -> None:
    run(task, _shared["newest"], _shared["box"].put)


def _warm(overrides: tuple[str, ...]) -> None:
    task = Task(0, 0, 0, 1, overrides, 0.0)
    run(task, [0], lambda _: None)


class Workers:
    """Processes that make runs.

    Args:
        processes: their number.
        scenarios: the experiments to get warm for; in others, the first answer takes longer.
    """

    def __init__(self, processes: int = 2, scenarios: tuple[str, ...] = ()) -> None:
        prepare_workers()
        context = get_context("spawn")  # A fork would copy the server's threads and locks.
        self.processes, self.scenarios = processes, scenarios
        self._newest = context.Array("q", PAGES, lock=False)
        self._box = context.SimpleQueue()
        self._pool_of = partial(
            ProcessPoolExecutor,
            processes,
            mp_context=context,
            initializer=_start,
            initargs=(os.getpid(), self._newest, self._box),
        )
        self._numbers, self._slots = count(1), count()
        self._takers: dict[int, Take] = {}
        self._kept: OrderedDict[tuple[tuple[str, ...], int], Message] = OrderedDict()
        self._asked: dict[tuple[int, int, int], tuple[str, ...]] = {}
        self._lock, self._renewing = Lock(), Lock()
        self._pool = self._pool_of()
        self._get_warm()
        Thread(target=self._listen, daemon=True).start()

    def _get_warm(self) -> None:
        words = [
            (f"experiment={name}", f"planner={planner}", f"horizon_s={WARM_S}")
            for name in self.scenarios
            for planner in SCENARIOS[name]
        ]
        for each in words * self.processes:
            self._pool.submit(_warm, each)

    def page(self, take: Take) -> int:
        """Return the slot of a new page; `take` gets its messages, in a thread of the workers."""
        with self._lock:
            free = (each for each in range(PAGES) if each not in self._takers)
            slot = next(free, next(self._slots) % PAGES)
            self._takers[slot] = take
        return slot

    def leave(self, slot: int, take: Take) -> None:
        """Forget the page that gets messages by `take`, and end its runs."""
        with self._lock:
            if self._takers.get(slot) != take:
                return  # Another page has the slot now.
            del self._takers[slot]
        self.move(slot)

    def move(self, slot: int) -> int:
        """Return the number of a page's new move, which ends the runs of its earlier ones."""
        with self._lock:
            number = next(self._numbers)
            self._newest[slot] = number
            self._asked = {key: value for key, value in self._asked.items() if key[0] != slot}
        return number

    def ask(self, task: Task) -> None:
        """Make a run, or answer at once if it was made before."""
        with self._lock:
            known = self._kept.get((task.overrides, task.seed))
            if known is None:
                self._asked[task.number, task.side, task.seed] = task.overrides
        if known is None:
            self._submit(task)
        else:
            self._tell(replace(known, slot=task.slot, number=task.number, side=task.side))

    def _submit(self, task: Task) -> None:
        """Hand a task to the processes; the lock of messages must be free, as they may answer."""
        with self._renewing:
            try:
                future = self._pool.submit(_work, task)
            except BrokenProcessPool:  # A process was killed, perhaps because memory ran out.
                self._pool = self._pool_of()
                future = self._pool.submit(_work, task)
        future.add_done_callback(partial(self._ended, task))

    def _ended(self, task: Task, future: "Future[None]") -> None:
        if not future.cancelled() and future.exception() is not None:
            said = "the process of this run was killed, perhaps because memory ran out; move again"
            self._tell(Message(task.slot, task.number, task.side, task.seed, refused=said))

    def _listen(self) -> None:
        while (message := self._box.get()) is not None:
            figures = message.figures
            with self._lock:
                key = message.number, message.side, message.seed
                if figures is not None and figures.query_time is not None and key in self._asked:
                    self._kept[self._asked.pop(key), message.seed] = message
                    while len(self._kept) > REMEMBERED:
                        self._kept.popitem(last=False)
            self._tell(message)

    def _tell(self, message: Message) -> None:
        with self._lock:
            take = self._takers.get(message.slot)
        if take is not None:
            take(message)

    def close(self) -> None:
        """End the processes."""
        for slot in range(PAGES):
            self._newest[slot] = -1
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._box.put(None)


def now_s() -> float:
    """Return the time by the clock that `Task.asked_s` is measured by."""
    return time.monotonic()
