"""The tool ``compass-lab explain``: why a query got the plan that it got."""

import argparse
from pathlib import Path
from typing import Any

from lab.common.errors import InputError, check_png, no_directory

MOST_ROWS = 20


def add_parser(tools: Any) -> None:
    """Add the parser of this tool to the subparsers of ``compass-lab``."""
    parser = tools.add_parser(
        "explain",
        help="say why a query got its plan, and what came of it",
        description="What was profiled, believed and true of a query's plans, what was chosen or "
        "refused and why, and how it went. Exit status: 0, or 2 for bad input.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    parser.add_argument("query", metavar="QUERY", help="number of the query, by arrival from 0")
    parser.add_argument("--figure", type=Path, metavar="OUT.png", help="draw it too")
    parser.add_argument(
        "--rows",
        type=int,
        default=MOST_ROWS,
        metavar="N",
        help=f"most rows of a table ({MOST_ROWS}); 0 for all",
    )
    parser.set_defaults(tool=explain)


def explain(options: argparse.Namespace) -> int:
    """Print the explanation; draw it if asked."""
    if options.rows < 0:
        raise InputError(f"--rows={options.rows}: must be 0 or more")
    if not options.query.isdecimal():
        raise InputError(f"QUERY={options.query}: must be a whole number of 0 or more")
    if not options.run.is_dir():
        raise InputError(f"RUN={options.run}: {no_directory(options.run)}")
    if options.figure is not None:
        check_png("--figure", options.figure)
    # Not before, for these take a second or more to import, and refusals need none of them.
    from lab.common.console import console, say
    from lab.reporting.explain import text
    from lab.reporting.explain.findings import answer
    from lab.reporting.explain.record import find_run, read_query

    record = read_query(find_run(options.run), int(options.query))
    say(f"{record.run}, planner {record.planner}")
    say(answer(record))
    rows = options.rows
    for section in (
        text.asked(record),
        text.profiled(record, rows),
        text.offered(record, rows),
        text.ordered(record, rows),
        text.served(record, rows),
        text.windows(record, rows),
        text.parts(record),
    ):
        for at, part in enumerate(section):
            if isinstance(part, str):
                say(part if at else f"\n{part}")
            else:
                console().print(part)
    if options.figure is not None:
        from lab.reporting.explain.figure import draw_explanation

        try:
            say(f"figure: {draw_explanation(record, options.figure)}")
        except OSError as error:
            raise InputError(
                f"--figure={options.figure}: cannot be written: {error.strerror}"
            ) from None
    return 0
