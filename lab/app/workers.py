"""The processes that make runs for all open pages; they are kept, so that they stay warm."""

import gc
import os
import signal
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, product
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any

from lab.app.controls import SCENARIOS
from lab.app.pool import CONTEXT, Pool
from lab.app.runs import Message, Task, run
from lab.common.errors import one_line
from lab.common.garbage import give_back_memory
from lab.common.orphans import end_with
from lab.run_cache.jobs import prepare_workers
from lab.runs.warm_up import BLOCKS
from scenarios.compiled import is_cold, on_compilation

PAGES = 1024
"""Number of open pages from which on one page can end the runs of another."""
REMEMBERED = 200
"""Number of finished runs that are kept, at 0.1 MB each in memory and on disk, so that a move back
answers at once."""
WARM_S = 30
"""Simulated seconds of the runs that load and compile what later runs need."""
KILLED = "the process of this run was killed, perhaps because memory ran out; move again"

Take = Callable[[Message], None]


@dataclass(frozen=True)
class Compiled:
    """How many functions a process has compiled so far; None if it compiles nothing now."""

    process: int
    functions: int | None = None


_shared: dict[str, Any] = {}
"""In a worker: the numbers of the newest moves or questions, what messages are sent by, and a lock
for the process that compiles first."""


def _start(
    parent: int, newest: Any, writer: Any = None, lock: Any = None, cold: Any = None
) -> None:
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this.
    _shared.update(newest=newest, writer=writer, lock=lock, cold=cold)
    if writer is not None:
        on_compilation(lambda functions: _say(Compiled(os.getpid(), functions)))


def _say(message: "Message | Compiled") -> None:
    with _shared["lock"]:
        _shared["writer"].send(message)


def _run(task: Task, newest: Sequence[int], say: Callable[[Message], None]) -> None:
    """Make a run. Without stored machine code, one process compiles, and the others wait for it."""
    with _shared["cold"] if is_cold(BLOCKS) else nullcontext():
        run(task, newest, say)
    _say(Compiled(os.getpid()))


def _work(task: Task) -> None:
    _run(task, _shared["newest"], _say)
    give_back_memory()


def _warm(overrides: tuple[str, ...]) -> None:
    _run(Task(0, 0, 0, 1, overrides, 0.0), [0], lambda _: None)
    give_back_memory()
    gc.freeze()  # What stays loaded would slow down each later collection.


def _regrets(slot: int, number: int, directory: Path, query: int) -> str:
    from lab.app.inquiry import regrets

    return regrets(directory, query, lambda: bool(_shared["newest"][slot] == number))


def _is_finished(message: Message) -> bool:
    return message.figures is not None and message.figures.query_time is not None


def _sentence(error: BaseException) -> str:
    """Return why a process gave no answer."""
    if isinstance(error, BrokenProcessPool):
        return KILLED
    return f"this failed: {type(error).__name__}: {one_line(error)}"


class Workers:
    """Processes that make runs, and others that examine decisions.

    Args:
        processes: the number of processes that make runs, and the largest number of the others.
        scenarios: the experiments to get warm for; in others, the first answer takes longer.

    Attributes:
        compiled: number of functions that the processes have compiled so far; None if they compile
            nothing now.
    """

    compiled: int | None = None

    def __init__(self, processes: int = 2, scenarios: tuple[str, ...] = ()) -> None:
        prepare_workers()
        self._newest = CONTEXT.Array("q", PAGES, lock=False)  # moves of each page
        self._asked = CONTEXT.Array("q", PAGES, lock=False)  # questions, or moves after them
        self._folder = TemporaryDirectory(prefix="compass-app-", ignore_cleanup_errors=True)
        self._pool = Pool(processes, _start, self._words)
        self._examiners = Pool(processes, _start, lambda: (os.getpid(), self._asked))
        self._numbers, self._slots = count(1), count()
        self._takers: dict[int, Take] = {}
        self._compiled: dict[int, int | None] = {}  # by process
        self._kept: OrderedDict[tuple[tuple[str, ...], int], Message] = OrderedDict()
        self._lock = Lock()
        self._writer: Any = None
        words = [
            (f"experiment={name}", f"planner={planner}", f"horizon_s={WARM_S}")
            for name in scenarios
            for planner in SCENARIOS[name]
        ]
        for each in words * processes:
            self._pool.submit(_warm, each)

    def _words(self) -> tuple[Any, ...]:
        """Return what new processes need: a pipe of their own for their messages, among others."""
        reader, writer = CONTEXT.Pipe(duplex=False)
        self._stop_listening()
        self._writer = writer
        self._compiled.clear()
        Thread(target=self._listen, args=(reader,), daemon=True).start()
        return os.getpid(), self._newest, writer, CONTEXT.Lock(), CONTEXT.Lock()

    def _stop_listening(self) -> None:
        """Close this end of the pipe; once the processes have ended, nobody can write to it."""
        if self._writer is not None:
            self._writer.close()

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
            if self._takers.get(slot) == take:  # else another page has the slot now
                del self._takers[slot]
                self._newest[slot] = self._asked[slot] = next(self._numbers)

    def move(self, slot: int) -> int:
        """Return the number of a page's new move, which ends the runs of its earlier ones."""
        with self._lock:
            number = self._newest[slot] = self._asked[slot] = next(self._numbers)
        return number

    def ask(self, task: Task) -> None:
        """Make a run, or answer at once if it was made before."""
        key = task.overrides, task.seed
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
        if known is not None:
            self._tell(replace(known, slot=task.slot, number=task.number, side=task.side))
            return
        # The lock of messages is free here, because a task that failed at once is told of here.
        future = self._pool.submit(_work, replace(task, folder=self._folder.name))
        future.add_done_callback(partial(self._ended, task))

    def regrets(self, slot: int, directory: Path, query: int, take: Callable[[str], Any]) -> None:
        """Examine the decisions on a query of a run; `take` gets the text, in a thread.

        A newer question or move of the page ends this.
        """

        def ended(future: "Future[str]") -> None:
            if not future.cancelled():
                error = future.exception()
                take(future.result() if error is None else _sentence(error))

        with self._lock:
            number = self._asked[slot] = next(self._numbers)
        asked = self._examiners.submit(_regrets, slot, number, directory, query)
        asked.add_done_callback(ended)

    def _ended(self, task: Task, future: "Future[None]") -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            said = _sentence(error)
            self._tell(Message(task.slot, task.number, task.side, task.seed, refused=said))

    def _listen(self, reader: Any) -> None:
        with reader, suppress(EOFError, OSError):  # OSError in the middle of a message
            while True:
                message = reader.recv()
                if isinstance(message, Message) and _is_finished(message):
                    message = self._keep(message)
                try:
                    if isinstance(message, Compiled):
                        self._compiles(message)
                    else:
                        self._tell(message)
                except Exception:  # The fault of one page must not end the answers of all.
                    traceback.print_exc()

    def _compiles(self, said: Compiled) -> None:
        """Let all pages know how far compilation is."""
        with self._lock:
            self._compiled[said.process] = said.functions
            before = self.compiled
            self.compiled = max(
                (each for each in self._compiled.values() if each is not None), default=None
            )
            slots = [] if self.compiled == before else list(self._takers)
        for slot, side in product(slots, range(2)):
            number = self._newest[slot]
            self._tell(Message(slot, number, side, 0, compiled=self.compiled))

    def _keep(self, message: Message) -> Message:
        """Remember a finished run; return its message, with the figures that are remembered.

        Two pages, or both sides of one, can make the same run at the same time.
        """
        key, gone = (message.overrides, message.seed), []
        with self._lock:
            kept = self._kept.setdefault(key, message)
            if kept is not message:
                gone.append(message)
            while len(self._kept) > REMEMBERED:
                gone.append(self._kept.popitem(last=False)[1])
        for one in gone:
            if one.figures is not None and one.figures.directory is not None:
                rmtree(one.figures.directory, ignore_errors=True)
        return replace(message, figures=kept.figures)

    def _tell(self, message: Message) -> None:
        with self._lock:
            take = self._takers.get(message.slot)
        if take is not None:
            take(message)

    def close(self) -> None:
        """End the processes."""
        for slot in range(PAGES):
            self._newest[slot] = self._asked[slot] = -1
        self._pool.close()
        self._examiners.close()
        self._stop_listening()
        self._folder.cleanup()


def now_s() -> float:
    """Return the time by the clock that `Task.asked_s` is measured by."""
    return time.monotonic()
