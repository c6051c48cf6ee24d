"""The server: tools and their schemas by the protocol, over standard input and output."""

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

import anyio
from anyio.to_thread import run_sync
from mcp import types
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from lab.common.errors import InputError, choices
from lab.common.signals import Ending
from lab.mcp_server.answers import Answer, Place, Progress, cut_short
from lab.mcp_server.catalogue import list_scenarios
from lab.mcp_server.reading import read, schema
from lab.mcp_server.tool_arguments import TOOLS, Asked, ListScenarios
from lab.mcp_server.workers import Message, Refused, Workers
from lab.version import __version__

NAME = "compass-sim"
INSTRUCTIONS = """\
compass-sim simulates services that answer users' queries on devices, at an edge site and in a
cloud. A planner decides how each query is served. Numbers are of simulations, not of a real
service.

For a question such as "what if a fifth of our users move to 5G?": list_scenarios with the
experiment shows its keys and their present values; compare with a change of the keys gives means,
and paired differences with 95 % intervals over seeds. Say whether a difference is clear, and quote
the command, which repeats the numbers in a shell. If finished is false, the budget was used up: the
same call goes on from what is kept.
"""


class Assistant:
    """The tools of one server.

    Args:
        place: where it works.
        budget_s: the largest wall-clock time of a call, in seconds.
    """

    def __init__(self, place: Place, budget_s: float) -> None:
        self.budget_s, self._place = budget_s, place
        self.workers = Workers(place)
        self._composing = anyio.CapacityLimiter(1)  # Hydra composes one configuration at a time.

    def tools(self) -> list[types.Tool]:
        """Return the tools with their schemas."""
        hints = types.ToolAnnotations(
            read_only_hint=False,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        )
        return [
            types.Tool(
                name=name,
                description=" ".join((asked.__doc__ or "").split()),
                input_schema=schema(name, self.budget_s),
                annotations=hints,
            )
            for name, asked in TOOLS.items()
        ]

    async def call(self, tool: str, arguments: dict[str, Any], report: Any) -> Answer:
        """Answer a call; raise InputError, in a sentence, if there is no answer."""
        if tool not in TOOLS:
            raise InputError(f"{tool}: no such tool; {choices(tool, TOOLS)}")
        asked: Asked = read(tool, arguments, self.budget_s)
        if isinstance(asked, ListScenarios):
            self.workers.get_ready()
            return await run_sync(list_scenarios, asked, self._place, limiter=self._composing)
        last: Progress | None = None
        message: Message
        with anyio.move_on_after(asked.budget_s):
            async with self.workers.lent() as worker:
                worker.ask(tool, asked)
                while isinstance(message := await worker.next(), Progress):
                    last = message
                    await report(last.done, last.total, last.words)
            if isinstance(message, Refused):
                raise InputError(message.sentence.removeprefix("--"))  # An option of the command.
            return message
        so_far = None if last is None else last.so_far
        return cut_short(so_far, _used_up(asked, last))


def _used_up(asked: Asked, last: Progress | None) -> str:
    """Return a sentence on a used-up budget."""
    used_up = f"budget_s={asked.budget_s:g} was used up"
    if last is None or last.so_far is None:
        where = "" if last is None else f", at {last.words}"
        return (
            f"{used_up} before a run was finished{where}. An unfinished run starts again, so ask "
            "for a shorter horizon_s or a larger budget_s."
        )
    of = "" if last.total is None else f" of {last.total:g}"
    return (
        f"{used_up} with {int(last.done)}{of} runs done. They are kept, and the same call goes on "
        "from them."
    )


async def serve(place: Place, budget_s: float) -> None:
    """Serve one client until it closes standard input.

    While it is served, whatever else is printed on standard output goes to standard error.
    """
    assistant = Assistant(place, budget_s)

    async def list_tools(
        _: ServerRequestContext, __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=assistant.tools())

    async def call_tool(
        context: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        report = context.session.report_progress
        try:
            answer = await assistant.call(params.name, params.arguments or {}, report)
        except InputError as error:
            said = types.TextContent(text=str(error))
            return types.CallToolResult(content=[said], is_error=True)
        found = {name: one for name, one in asdict(answer).items() if one not in ("", (), {})}
        text = types.TextContent(text=json.dumps(found, ensure_ascii=False))
        return types.CallToolResult(content=[text], structured_content=found)

    server: Server[Any] = Server(
        NAME,
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    try:
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
    finally:
        assistant.workers.close()


def main(place: Place, budget_s: float) -> None:
    """Serve until the client ends, or a signal ends the process."""
    try:
        anyio.run(partial(serve, place, budget_s))
    except KeyboardInterrupt:
        # Python would wait for the thread that reads standard input, which cannot be stopped.
        print("compass-lab: interrupted", file=sys.stderr, flush=True)
        os._exit(Ending.status())
