"""The options of the tools that simulate many runs to answer a question."""

import math
from pathlib import Path
from typing import Any

from lab.cli.arguments import Add, ArgumentParser, add_overrides, number, whole


def add_what_if(add: Add, tools: Any) -> None:
    """Add the tools for what-if questions; `add` makes the parser of a tool."""
    what_if = add(
        tools,
        "what-if",
        "what_if.what_if",
        "compare changed settings with the base on the same seeds",
        "Simulates the base and each change on the same seeds, and prints means and paired "
        "differences with 95 % intervals. planner=NAME chooses the planner; the default is that "
        "of the experiment, or cheapest_feasible. Finished runs are kept and reused. Overrides of "
        "the base come first. Exit status: 0, or 2 for bad input.",
    )
    add_overrides(what_if)
    words = (
        "a change: one or more overrides, such as network=wifi workload.rate=0.2; may be repeated "
        "for further changes"
    )
    what_if.add_argument(
        "--change", action="append", nargs="+", required=True, metavar="KEY=VALUE", help=words
    )
    _add_effort(
        what_if,
        (5, "number of seeds (5)"),
        "most simultaneous runs (one per core)",
        Path("outputs") / "what_if",
    )
    capacity = add(
        tools,
        "capacity",
        "what_if.capacity",
        "find the cheapest machines that reach a target",
        "Finds the combination of values whose machines are cheapest and reach a target. Each "
        "combination is simulated on more and more seeds, until the verdict has the given "
        "confidence. More machines are assumed not to serve worse. planner=NAME chooses the "
        "planner; the default is that of the experiment, or cheapest_feasible. Finished runs are "
        "kept and reused. Exit status: 0 if a combination suffices; 1 if none does; 2 for bad "
        "input.",
    )
    _add_question(
        capacity,
        "KEY=VALUES",
        "a key and its values, such as cluster.nodes.cloud.count=range(1,9) or "
        "cluster.nodes.cloud.machine=a2-highgpu-1g,g2-standard-8; may be repeated",
        required=True,
    )
    target = capacity.add_mutually_exclusive_group(required=True)
    for option, limit in (("--at-least", "lowest"), ("--at-most", "highest")):
        words = f"{limit} allowed mean of the metric, in its unit; shares are from 0 to 1"
        target.add_argument(option, type=number, metavar="X", help=words)
    capacity.add_argument(
        "--confidence", type=number, default=0.95, help="confidence of each verdict (0.95)"
    )
    _add_effort(
        capacity,
        (20, "most seeds per combination (20)"),
        "most simultaneous runs (one per core); a combination's new seeds run in parallel",
        Path("outputs") / "capacity",
    )
    sensitivity = add(
        tools,
        "sensitivity",
        "what_if.sensitivity",
        "rank assumptions by their effect on an answer",
        "Varies each assumption alone, low and high, on the same seeds as the base, and ranks the "
        "assumptions by their effect on the answer. The answer is a metric of the planner, or its "
        "difference from another planner's. planner=NAME chooses the planner; the default is that "
        "of the experiment, or cheapest_feasible. Finished runs are kept and reused.",
    )
    _add_question(
        sensitivity,
        "KEY=LOW,HIGH",
        "an assumption and exactly two values, such as workload.rate=0.08,0.125; may be repeated; "
        "the documentation lists the default assumptions",
    )
    sensitivity.add_argument(
        "--against",
        metavar="planner=NAME",
        help="another planner; the answer is then the difference from it",
    )
    _add_effort(
        sensitivity,
        (5, "number of seeds (5)"),
        "most simultaneous runs (one per core)",
        Path("outputs") / "sensitivity",
    )


def add_atlas(add: Add, tools: Any) -> None:
    """Add the tool ``atlas``; `add` makes the parser of a tool."""
    atlas = add(
        tools,
        "atlas",
        "atlas.atlas",
        "find out which planner is best in which regime",
        "Runs planners in cells that fill the space of loads, machines, links, content, latency "
        "bounds, profiling and drift, on more and more seeds until each cell has a winner or a "
        "tie. Writes one table, pictures and a decision tree in words. The same command extends "
        "an interrupted atlas. Exit status: 0; 1 if a cell failed; 2 for bad input.",
    )
    words = "number of cells (500)"
    atlas.add_argument("--cells", type=whole, default=500, metavar="N", help=words)
    words = "stop after this many hours; the same command continues (no limit)"
    atlas.add_argument("--hours", type=number, default=math.inf, metavar="H", help=words)
    words = "planners to compare, by commas (the main ones)"
    atlas.add_argument("--planners", metavar="NAMES", help=words)
    words = "place another planner, by its name or class, in a finished atlas"
    atlas.add_argument("--place", metavar="PLANNER", help=words)
    words = "find the smallest change of the default scene that reverses each pair of planners"
    atlas.add_argument("--reversals", action="store_true", help=words)
    words = "rerun N random cells at full length, and compare verdicts"
    atlas.add_argument("--rerun", type=whole, metavar="N", help=words)
    words = "seed of the design (0)"
    atlas.add_argument("--design-seed", type=whole, default=0, metavar="N", help=words)
    words = "parallel cells (one per core)"
    atlas.add_argument("--jobs", type=whole, metavar="N", help=words)
    out = Path("outputs") / "atlas"
    atlas.add_argument("--out", type=Path, default=out, help=f"directory of results ({out})")


def _add_question(tool: ArgumentParser, varied: str, about: str, required: bool = False) -> None:
    """Add the arguments that define a what-if question: overrides, varied keys and a metric."""
    add_overrides(tool)
    tool.add_argument(
        "--vary", action="append", default=[], required=required, metavar=varied, help=about
    )
    metric = "slo_met_fraction"
    tool.add_argument("--metric", default=metric, help=f"a number of the summary ({metric})")


def _add_effort(tool: ArgumentParser, seeds: tuple[int, str], jobs: str, out: Path) -> None:
    """Add the arguments for seeds, parallel runs and the directory of results."""
    tool.add_argument("--seeds", type=whole, default=seeds[0], metavar="N", help=seeds[1])
    tool.add_argument("--jobs", type=whole, metavar="N", help=jobs)
    tool.add_argument("--out", type=Path, default=out, help=f"directory of results ({out})")
