"""The processes that do the work of tools; a call that ends early ends its process.

A simulation cannot be interrupted in a thread. So each call works in a process of its own, which is
killed when the call's budget is used up or its client cancels it. A process whose call has ended is
kept for the next call, because it has loaded what runs need.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from anyio import Semaphore
from anyio.to_thread import run_sync

from lab.common.errors import InputError, one_line
from lab.common.orphans import end_with
from lab.mcp_server.answers import Answer, Place, Progress
from lab.mcp_server.tool_arguments import Asked
from lab.run_cache.jobs import KILLED, prepare_workers

AT_ONCE = 2
"""Number of calls that work at the same time; further ones wait."""


@dataclass(frozen=True)
class Refused:
    """The sentence that says why there is no answer."""

    sentence: str


Message = Progress | Answer | Refused


def tools() -> Mapping[str, Callable[..., Answer]]:
    """Return what does the work of each tool that needs a process."""
    from lab.mcp_server import questions, single_runs

    return {
        "run": single_runs.run,
        "compare": questions.compare,
        "fork": single_runs.fork,
        "explain": single_runs.explain,
        "capacity": questions.capacity,
        "sensitivity": questions.sensitivity,
    }


def work(connection: "Connection[Message, tuple[str, Asked]]", place: Place, parent: int) -> None:
    """Answer what is asked, one call after the other, until the connection ends."""
    end_with(parent)
    known = tools()
    while True:
        try:
            tool, asked = connection.recv()
        except EOFError:
            return
        try:
            connection.send(known[tool](asked, place, connection.send))
        except InputError as error:
            connection.send(Refused(str(error)))
        except OSError as error:
            connection.send(Refused(f"{error.filename or tool}: {error.strerror or error}"))
        except Exception as error:  # The server goes on, and says why this answer is missing.
            connection.send(Refused(f"{tool} failed: {type(error).__name__}: {one_line(error)}"))


class Worker:
    """One process."""

    def __init__(self, place: Place) -> None:
        context = get_context("spawn")  # A fork would copy the server's threads and locks.
        self._place = place
        self._connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=work, args=(theirs, place, os.getpid()), name="tool"
        )
        self._process.start()
        theirs.close()

    def ask(self, tool: str, asked: Asked) -> None:
        """Begin a call."""
        self._connection.send((tool, asked))

    async def next(self) -> Message:
        """Return the next message of the call; raise InputError if the process was killed."""
        try:
            message: Message = await run_sync(self._connection.recv, abandon_on_cancel=True)
        except (EOFError, OSError):
            raise InputError(f"{KILLED}; finished runs are kept") from None
        return message

    def kill(self) -> None:
        """End the process, and delete what it left unfinished."""
        from lab.mcp_server.single_runs import clear_up

        self._process.kill()
        self._process.join()
        clear_up(self._place, self._process.pid or 0)


class Workers:
    """The processes of a server, which are started when they are needed."""

    def __init__(self, place: Place) -> None:
        prepare_workers()
        self._place = place
        self._idle: list[Worker] = []
        self._free = Semaphore(AT_ONCE)

    def get_ready(self) -> None:
        """Start a process if there is none, so that the next call need not wait for it."""
        if not self._idle and self._free.value == AT_ONCE:
            self._idle.append(Worker(self._place))

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Worker]:
        """Lend a process for a call.

        If the call does not end by itself, the process is killed, and another one gets ready.
        """
        async with self._free:
            worker = self._idle.pop() if self._idle else Worker(self._place)
            try:
                yield worker
            except BaseException:
                worker.kill()
                worker = Worker(self._place)
                raise
            finally:
                self._idle.append(worker)

    def close(self) -> None:
        """End all processes that wait for a call."""
        while self._idle:
            self._idle.pop().kill()
