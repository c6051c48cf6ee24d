"""The options of the tools on planners and their runs."""

import math
from pathlib import Path
from typing import Any

from lab.cli.arguments import Add, add_overrides, number, whole
from lab.cli.explain import MOST_ROWS


def add_tools_on_runs(add: Add, tools: Any) -> None:
    """Add the tools on planners and runs; `add` makes the parser of a tool."""
    check = add(
        tools,
        "check-planner",
        "check_planner.check_planner",
        "check that a planner keeps its contract",
    )
    check.add_argument("target", help="class of the planner, such as my_pkg.MyPlanner")
    check.add_argument("parameters", nargs="*", metavar="KEY=VALUE", help="its parameters")
    check.add_argument(
        "--limit-s",
        type=number,
        default=300.0,
        metavar="SECONDS",
        help="time limit of the check (default: 300)",
    )
    report = add(
        tools,
        "report",
        "report.report",
        "compare the planners of a sweep: tables, figures, one page",
        "Compares the planners of a sweep or a comparison, or describes a single run. Prints "
        "tables, and writes figures, Parquet files and an HTML page to DIR/report.",
    )
    report.add_argument(
        "directory", type=Path, metavar="DIR", help="directory of a run, a comparison or a sweep"
    )
    every_row = "print every row of the table of a run, including zeros and details"
    report.add_argument("--all", action="store_true", help=every_row)
    explain = add(
        tools,
        "explain",
        "explain.explain",
        "explain why a query got its plan, and how the plan performed",
        "Shows what was profiled for a query, what the planner believed about its plans and what "
        "was true, which plans were ordered or refused and why, and how they performed. Exit "
        "status: 0, or 2 for bad input.",
    )
    explain.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    explain.add_argument("query", metavar="QUERY", help="number of the query, from 0 by arrival")
    explain.add_argument("--figure", type=Path, metavar="OUT.png", help="also draw a figure")
    rows = f"most rows per table; 0 for all ({MOST_ROWS})"
    explain.add_argument("--rows", type=whole, default=MOST_ROWS, metavar="N", help=rows)
    _add_fork(add, tools, every_row)
    _add_regret(add, tools, rows)
    trace = add(
        tools,
        "trace",
        "explain.trace",
        "write the requests of a run as a trace for Perfetto and as a picture",
        "Writes trace.json, which ui.perfetto.dev opens, and trace.png to the directory of a run. "
        "The run must have been simulated with requests=true.",
    )
    trace.add_argument("directory", type=Path, metavar="DIR", help="directory of a run")
    trace.add_argument("--planner", metavar="NAME", help="planner, if DIR has a comparison")
    for name, default, which in (("from", 0.0, "first"), ("to", math.inf, "last")):
        shown = f"{which} simulated second ({'0' if default == 0 else 'the end'})"
        trace.add_argument(
            f"--{name}", dest=f"{name}_s", type=number, default=default, metavar="S", help=shown
        )
    trace.add_argument(
        "--query",
        type=whole,
        action="append",
        default=[],
        metavar="N",
        help="number of a query to show; may be repeated (all queries)",
    )
    agree = add(
        tools,
        "agree",
        "agree.agree",
        "check that two data planes give the same results",
        "Runs a scenario on the event data plane, which is the reference, and on another one. "
        "Compares every request to the nanosecond and every row of every table. The other data "
        "plane is blocks, unless an override names one. Exit status: 0 if they agree; 1 at the "
        "first difference, which is printed; 2 for bad input.",
    )
    add_overrides(agree, ", such as experiment=speech_small planner=greedy seed=3")


def _add_fork(add: Add, tools: Any, every_row: str) -> None:
    tool = add(
        tools,
        "fork",
        "explain.fork",
        "continue a run from a decision with something changed",
        "Simulates a run again up to the first decision at or after a time, under the same draws, "
        "and from there with what the options change. Prints both runs. Exit status: 0, or 2 for "
        "bad input.",
    )
    tool.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    words = "simulated second from which on something is different"
    tool.add_argument("--at-s", type=number, required=True, metavar="S", help=words)
    tool.add_argument("--planner", metavar="NAME", help="another planner, such as videostorm")
    for option, metavar, about in (
        ("--machines", "NODE=N", "number of machines of a node, such as cloud=1"),
        ("--event", "KIND,at_s:S,...", "a drift event, such as rate_change,at_s:300,factor:3"),
        ("--query", "N=wait|refuse", "let query N wait instead of getting a plan, or refuse it"),
    ):
        words = f"{about}; may be repeated"
        tool.add_argument(option, action="append", default=[], metavar=metavar, help=words)
    words = "directory for the tables of the fork (none)"
    tool.add_argument("--out", type=Path, metavar="DIR", help=words)
    tool.add_argument("--all", action="store_true", help=every_row)


def _add_regret(add: Add, tools: Any, rows: str) -> None:
    tool = add(
        tools,
        "regret",
        "explain.regret",
        "find the decisions of a run that alternatives would have improved",
        "Goes through the planner's decisions in order and tries alternatives in forks of the run: "
        "plans that fit, waiting and refusing. The regret of a decision is what the best one "
        "gains; it then stays in force, so that regrets add up. The same command continues an "
        "interrupted examination. Exit status: 0, or 2 for bad input.",
    )
    tool.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    words = "goodput, or cost at no loss of goodput (goodput)"
    tool.add_argument("--by", choices=("goodput", "cost"), default="goodput", help=words)
    words = "stop after this many hours; the same command continues (no limit)"
    tool.add_argument("--hours", type=number, default=math.inf, metavar="H", help=words)
    tool.add_argument("--out", type=Path, metavar="DIR", help="directory of the file (RUN)")
    tool.add_argument("--rows", type=whole, default=MOST_ROWS, metavar="N", help=rows)


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
