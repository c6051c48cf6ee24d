"""The client of the protocol's own SDK, over standard input and output, for tests of the server."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyio import CancelScope
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "lab.cli.tools"]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that has this checkout, and its commands by name."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more}


@dataclass
class Caller:
    """A client whose calls wait for their answer.

    Args:
        portal: where the client works.
        client: the client.
        progress: what the server told of each call: how much is done, of how much, and words.
    """

    portal: BlockingPortal
    client: Client
    progress: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; return the result."""
        self.progress.clear()

        async def told(*progress: Any) -> None:
            self.progress.append(progress)

        async def call() -> Any:
            return await self.client.call_tool(tool, arguments, progress_callback=told)

        return self.portal.call(call)

    def cancelled(self, tool: str, **arguments: Any) -> str:
        """Call a tool and cancel the call at its first progress; return what was told of it."""

        async def call() -> str:
            words = ""
            with CancelScope() as scope:

                async def told(_: float, __: float | None, message: str | None) -> None:
                    nonlocal words
                    words = str(message)
                    scope.cancel()

                await self.client.call_tool(tool, arguments, progress_callback=told)
            return words

        return self.portal.call(call)

    def answer(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; return its answer."""
        result = self(tool, **arguments)
        assert not result.is_error, result.content[0].text
        return result.structured_content

    def refusal(self, tool: str, **arguments: Any) -> str:
        """Call a tool with wrong arguments; return the sentence that says so."""
        result = self(tool, **arguments)
        assert result.is_error
        assert result.structured_content is None
        [content] = result.content
        assert "\n" not in content.text
        return str(content.text)

    def tools(self) -> list[Any]:
        """Return the tools."""
        return list(self.portal.call(self.client.list_tools).tools)


@contextmanager
def served(directory: Path, streams: Path, *options: str, **variables: str) -> Iterator[Caller]:
    """Start a server in a directory.

    What it writes on its standard streams is kept in ``output.txt`` and ``errors.txt``.
    """
    words = shlex.join([*PROGRAM, "mcp", *options])
    with (streams / "errors.txt").open("w") as errors, start_blocking_portal() as portal:
        server = StdioServerParameters(
            command="sh",
            args=["-c", f"{words} | tee {shlex.quote(str(streams / 'output.txt'))}"],
            cwd=directory,
            env=environment(**variables),
        )
        client = Client(stdio_client(server, errors))
        with portal.wrap_async_context_manager(client) as connected:
            yield Caller(portal, connected)
