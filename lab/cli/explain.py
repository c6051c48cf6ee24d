"""The tools ``explain`` and ``trace`` of ``compass-lab`` for a single run.

Arguments are checked before heavy modules are imported.
"""

import argparse
from textwrap import TextWrapper

from lab.common.errors import InputError, check_png, no_directory, one_line, why_not

WIDTH = 80
"""Width in characters of an explanation that does not go to a terminal."""


def explain(options: argparse.Namespace) -> int:
    """Print why a query got its plan; draw a figure if one is requested."""
    if options.rows < 0:
        raise InputError(f"--rows={options.rows}: must be 0 or more")
    if not options.query.isdecimal():
        raise InputError(f"QUERY={options.query}: must be a whole number of 0 or more")
    if not options.run.is_dir():
        raise InputError(f"RUN={options.run}: {no_directory(options.run)}")
    if options.figure is not None:
        check_png("--figure", options.figure)
    from lab.analysis.run_data import plan_notation
    from lab.common.console import console, say
    from lab.reporting.explain.findings import answer
    from lab.reporting.explain.record import find_run, read_query
    from lab.reporting.explain.text import sections

    record = read_query(find_run(options.run), int(options.query))
    screen = console(WIDTH)
    lines = TextWrapper(screen.width, "", "    ", break_long_words=False, break_on_hyphens=False)
    first = (f"{record.run}, planner {record.planner}", answer(record), plan_notation(record.run))
    for sentence in filter(None, first):
        say(lines.fill(sentence))
    for section in sections(record, options.rows):
        for at, part in enumerate(section):
            if not at:
                say("")
            if isinstance(part, str):
                say(lines.fill(part))
            else:
                screen.print(part)
    if options.figure is not None:
        from lab.reporting.explain.figure import draw_explanation

        try:
            say(f"figure: {draw_explanation(record, options.figure)}")
        except OSError as error:
            raise InputError(
                f"--figure={options.figure}: cannot be written: {error.strerror}"
            ) from None
    return 0


def trace(options: argparse.Namespace) -> int:
    """Write the requests of a run as a trace for Perfetto and as a picture."""
    if not options.directory.is_dir():
        raise InputError(f"DIR={options.directory}: {no_directory(options.directory)}")
    import polars as pl

    from lab.common.console import say
    from lab.reporting.trace import read_trace, run_of, write_trace
    from lab.runs.run_directory import check_parts

    run = run_of(options.directory, options.planner)
    try:
        read = read_trace(run, options.from_s, options.to_s, options.query)
    except (pl.exceptions.PolarsError, OSError) as error:
        check_parts(run)
        first = one_line(str(error).partition("\n")[0])
        raise InputError(f"DIR={run}: its tables cannot be read ({first})") from None
    try:
        lines = write_trace(run, *read)
    except OSError as error:
        raise InputError(f"DIR={run}: the trace cannot be written: {why_not(error)}") from None
    for line in lines:
        say(line)
    return 0
