"""The tool ``compass-lab trace``: the requests of a run, for Perfetto and as a picture."""

import argparse
from math import inf
from pathlib import Path
from typing import Any

from lab.common.errors import InputError, no_directory, one_line, why_not

OK = 0
MOST = 500_000
"""Requests that a trace takes; Perfetto gets slow beyond."""


def add_parser(tools: Any) -> None:
    """Add the parser of this tool to the subparsers of ``compass-lab``."""
    parser = tools.add_parser(
        "trace",
        help="write the requests of a run as a trace for Perfetto, and as a picture",
        description="Writes trace.json, which ui.perfetto.dev opens, and trace.png beside the "
        "tables of a run that was simulated with requests=true.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of a run")
    parser.add_argument("--planner", metavar="NAME", help="one of several that were compared")
    parser.add_argument(
        "--from",
        dest="start_s",
        type=float,
        default=0.0,
        metavar="S",
        help="first simulated second (0)",
    )
    parser.add_argument(
        "--to",
        dest="end_s",
        type=float,
        default=inf,
        metavar="S",
        help="last simulated second (the end)",
    )
    parser.add_argument(
        "--query",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="a query to show, may be given several times (all)",
    )
    parser.set_defaults(tool=trace)


def trace(options: argparse.Namespace) -> int:
    """Write the trace and the picture of a run."""
    if not options.directory.is_dir():
        raise InputError(f"DIR={options.directory}: {no_directory(options.directory)}")
    # Not before, for these take a second or more to import, and a refusal needs none of them.
    import polars as pl

    from lab.common.console import say
    from lab.reporting.trace import run_of

    run = run_of(options.directory, options.planner)
    try:
        read = _read(run, options)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = one_line(str(error).partition("\n")[0])
        raise InputError(f"DIR={run}: its tables cannot be read ({first})") from None
    try:
        lines = _write(run, *read)
    except OSError as error:
        raise InputError(f"DIR={run}: the trace cannot be written: {why_not(error)}") from None
    for line in lines:
        say(line)
    return OK


def _read(run: Path, options: argparse.Namespace) -> Any:
    """Return the requests of one planner's run, and its queries, windows and decisions."""
    import polars as pl

    from lab.reporting.trace import after_of, requests_of, traced
    from lab.runs.frames import scan

    rows = requests_of(run, options.start_s, options.end_s, options.query, MOST)
    requests = list(traced(rows, after_of(run)))
    start_s, end_s = options.start_s, options.end_s

    def table(name: str) -> pl.DataFrame:
        scanned = scan(run, name)
        if options.query:
            scanned = scanned.filter(pl.col("query").is_in(options.query))
        return scanned.collect()

    windows = table("windows").filter(pl.col("end_s") > start_s, pl.col("start_s") < end_s)
    decided = table("decisions").filter(pl.col("decided_s").is_between(start_s, end_s))
    return requests, rows["query"].n_unique(), (table("queries"), windows, decided)


def _write(run: Path, requests: Any, of: int, tables: Any) -> list[str]:
    """Write the trace and the picture of one planner's run; return lines on what was written."""
    from lab.common.atomic_write import written_aside
    from lab.common.formatting import count
    from lab.reporting.plotting.style import save
    from lab.reporting.trace import events, picture, write
    from lab.runs.run_directory import TRACE, TRACE_PICTURE

    path = run / TRACE
    with written_aside(path) as aside, aside.open("w", encoding="utf-8") as file:
        write(events(requests, *tables), file)
    counted = f"{count(len(requests), 'request')} of {count(of, 'query', 'queries')}"
    first = f"{counted}: {path} (open it at ui.perfetto.dev)"
    completed = [each for each in requests if each.slices]
    image = run / TRACE_PICTURE
    if not completed:
        image.unlink(missing_ok=True)  # It would be of another trace.
        return [first, "no picture: none of these requests was completed"]
    save(picture(completed), image)
    return [first, f"picture: {image}"]
