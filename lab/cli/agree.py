"""The tool ``agree`` of ``compass-lab``."""

import argparse
import sys
import traceback

from lab.common import console
from lab.common.errors import key_of, printable, shown
from lab.common.formatting import number
from lab.config import preflight
from lab.config.compose import compose, set_up
from lab.config.overrides import overrides_of
from lab.runs import agreement
from lab.runs.agreement import DataPlaneError, Difference, data_plane_name
from lab.runs.warm_up import warm_up

OK, FAILED = 0, 1
LEAST_S = 0.5
"""Seconds below which a ratio of times says little: loading compiled functions takes as long."""


def agree(options: argparse.Namespace) -> int:
    """Compare a data plane (by default ``blocks``) with the reference plane under each planner."""
    overrides = overrides_of(options)
    if not {"data_plane", "data_plane._target_"} & set(map(key_of, overrides)):
        overrides = ["data_plane=blocks", *overrides]
    config = compose(overrides)
    setup = set_up(config, overrides)
    name = data_plane_name(setup)
    for sentence in preflight.warnings(setup):
        console.warn(sentence)
    warm_up([(overrides, config)])
    for planner, one in setup.planners.items():
        try:
            with console.live_progress(planner, setup.config.horizon_s) as progress:
                found = agreement.agree(setup, one, progress)
        except DataPlaneError as error:
            traceback.print_exception(error.__cause__)
            print(f"compass-lab: planner {planner}: {printable(error)}", file=sys.stderr)
            return FAILED
        if found.difference is not None:
            _show_difference(found.difference, planner, name)
            return FAILED
        reference_s, other_s = found.wall_s
        long = min(found.wall_s) >= LEAST_S
        ratio = f", a ratio of {number(reference_s / other_s)}" if long else ""
        console.say(
            f"{planner}: EventsPlane and {name} agree on {found.requests:,} requests and "
            f"{found.rows:,} rows of tables; without planning, they took {reference_s:,.2f} s and "
            f"{other_s:,.2f} s of wall time{ratio}"
        )
    return OK


def _show_difference(difference: Difference, planner: str, name: str) -> None:
    column, values = next(iter(difference.values.items()))
    print(
        f"compass-lab: planner {planner}: by {difference.by_s:g} s, the data planes differ in "
        f"{difference.what}: {column} is {shown(values[0])} in EventsPlane and {shown(values[1])} "
        f"in {name}",
        file=sys.stderr,
    )
    rows = [(key, *map(shown, pair)) for key, pair in difference.values.items()]
    heads = ("column", "EventsPlane", name)
    console.show_rows(heads, rows, f"{difference.what}: all differences")
