"""The options of the tools for a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.cli.arguments import ArgumentParser


def add_animate(add: Callable[..., ArgumentParser], tools: Any) -> None:
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
