"""The tool ``compass-lab agree``: whether two data planes give the same results of a scenario."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from lab.common.errors import key_of, shown
from lab.config.config_dir import add_overrides, overrides_of

if TYPE_CHECKING:
    from lab.runs.agreement import Agreement, Difference

OK, FAILED = 0, 1


def add_parser(tools: Any) -> None:
    """Add the parser of this tool to the subparsers of ``compass-lab``."""
    parser = tools.add_parser(
        "agree",
        help="check that two data planes give the same results of a scenario",
        description="Runs a scenario on the event data plane, the reference, and on another one "
        "side by side, and compares every request, to the nanosecond, and every row of every "
        "table. The other is data_plane=blocks, unless an override names one. Exit status: 0 if "
        "they agree; 1 at the first difference, which is shown; 2 for bad input.",
    )
    add_overrides(parser, ", such as experiment=speech_small planner=greedy seed=3")
    parser.set_defaults(tool=agree)


def agree(options: argparse.Namespace) -> int:
    """Compare the data planes under each planner of a configuration."""
    from lab.common import console
    from lab.config import preflight
    from lab.config.compose import compose, set_up
    from lab.runs.agreement import DataPlaneError, data_plane_name
    from lab.runs.agreement import agree as compare

    overrides = _with_data_plane(overrides_of(options))
    setup = set_up(compose(overrides), overrides)
    name = data_plane_name(setup)
    for sentence in preflight.warnings(setup):
        console.warn(sentence)
    for planner, one in setup.planners.items():
        try:
            with console.live_progress(planner, setup.config.horizon_s) as progress:
                found = compare(setup, one, progress)
        except DataPlaneError as error:
            import traceback

            traceback.print_exception(error.__cause__)
            print(f"compass-lab: planner {planner}: {error}", file=sys.stderr)
            return FAILED
        if found.difference is not None:
            _show_difference(found.difference, planner, name)
            return FAILED
        console.say(_in_words(found, planner, name))
    return OK


def _with_data_plane(words: list[str]) -> list[str]:
    """Return overrides that name a data plane to compare with the reference."""
    if {"data_plane", "data_plane._target_"} & set(map(key_of, words)):
        return words
    return ["data_plane=blocks", *words]


def _in_words(found: "Agreement", planner: str, name: str) -> str:
    reference_s, other_s = found.wall_s
    return (
        f"{planner}: EventsPlane and {name} agree on {found.requests:,} requests and "
        f"{found.rows:,} rows of tables; without planning, they took {reference_s:,.2f} s and "
        f"{other_s:,.2f} s of wall time, a ratio of {reference_s / max(other_s, 1e-9):,.1f}"
    )


def _show_difference(difference: "Difference", planner: str, name: str) -> None:
    """Print what differs, in one sentence and as a table."""
    from rich.table import Table

    from lab.common.console import console

    column, values = next(iter(difference.values.items()))
    print(
        f"compass-lab: planner {planner}: by {difference.by_s:g} s, the data planes differ in "
        f"{difference.what}: {column} is {shown(values[0])} by EventsPlane and {shown(values[1])} "
        f"by {name}",
        file=sys.stderr,
    )
    table = Table(title=f"{difference.what}: all that differs", title_justify="left")
    for head in ("column", "EventsPlane", name):
        table.add_column(head, overflow="fold")
    for key, pair in difference.values.items():
        table.add_row(key, *map(shown, pair))
    console().print(table)
