"""The options of the tools for a browser and for assistants."""

from pathlib import Path
from typing import Any

from lab.cli.arguments import Add, number, whole

PORT, SEEDS = 5006, 5
BUDGET_S = 50.0
"""Many clients give a call up after a minute."""


def add_app(add: Add, tools: Any) -> None:
    """Add the tool ``app``; `add` makes the parser of a tool."""
    app = add(
        tools,
        "app",
        "live.app.app",
        "change a scenario by sliders, and see what two planners make of it",
        "Opens a page in the browser, on which sliders and menus set a small scenario. It shows "
        "what two planners achieve there, with intervals over seeds, and what happens to each "
        "query. The page works without a network. It needs the extra [app].",
    )
    words = "part of an address after its ?, such as experiment=tracking_small&workload.rate=0.03"
    app.add_argument("state", nargs="?", default="", metavar="STATE", help=words)
    words = f"port of the page on this machine ({PORT}); 0 for a free one"
    app.add_argument("--port", type=whole, default=PORT, metavar="N", help=words)
    words = "address to listen on (127.0.0.1, so only this machine can open the page)"
    app.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=words)
    words = f"number of seeds for intervals ({SEEDS})"
    app.add_argument("--seeds", type=whole, default=SEEDS, metavar="N", help=words)
    app.add_argument("--no-browser", action="store_true", help="do not open a browser")


def add_animate(add: Add, tools: Any) -> None:
    """Add the tool ``animate``; `add` makes the parser of a tool."""
    animate = add(
        tools,
        "animate",
        "live.animate.animate",
        "write the animation of a run as one HTML file",
        "Writes one HTML file that shows what happened to each query of a run, and on which "
        "machines. The file needs no server and no network. Exit status: 0, or 2 for bad input.",
    )
    animate.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    words = "file to write (animation.html in RUN)"
    animate.add_argument("--out", type=Path, metavar="FILE.html", help=words)


def add_mcp(add: Add, tools: Any) -> None:
    """Add the tool ``mcp``; `add` makes the parser of a tool."""
    mcp = add(
        tools,
        "mcp",
        "live.mcp.mcp",
        "let an assistant run, compare, fork and explain, by the Model Context Protocol",
        "Serves one assistant over standard input and output, by the Model Context Protocol. Its "
        "tools take only keys of scenarios and registered planners, and write only below one "
        "directory. An assistant starts this command by itself. It needs the extra [mcp].",
    )
    out = Path("outputs") / "mcp"
    mcp.add_argument("--out", type=Path, default=out, help=f"directory of results ({out})")
    words = f"largest wall-clock time of a call in seconds ({BUDGET_S:g})"
    mcp.add_argument("--budget-s", type=number, default=BUDGET_S, metavar="S", help=words)
    words = "most simultaneous runs of a call (one per core)"
    mcp.add_argument("--jobs", type=whole, metavar="N", help=words)
