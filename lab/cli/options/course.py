"""The options of the tools for teachers."""

from pathlib import Path
from typing import Any

from lab.cli.arguments import Add, whole


def add_leaderboard(add: Add, tools: Any) -> None:
    """Add the tool ``leaderboard``; `add` makes the parser of a tool."""
    tool = add(
        tools,
        "leaderboard",
        "leaderboard.leaderboard",
        "rank the planners of a class on hidden seeds and regimes",
        "Runs each planner in DIR/submissions in the regimes and on the seeds of "
        "DIR/leaderboard.yaml, in a confined process of its own. Prints the ranking, and writes it "
        "to DIR/board. Finished runs are kept in DIR/runs, so that the same command continues. "
        "Exit status: 0, or 2 for bad input.",
    )
    tool.add_argument("directory", type=Path, metavar="DIR", help="directory of the class")
    words = "number of runs at a time (one per core)"
    tool.add_argument("--jobs", type=whole, metavar="N", help=words)
