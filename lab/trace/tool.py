"""The tool ``compass-lab trace``: the requests of a run, for Perfetto and as a picture."""

import argparse
from math import inf
from pathlib import Path
from typing import Any

from lab.errors import InputError, no_directory, one_line

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

    from lab.trace.slices import run_of

    run = run_of(options.directory, options.planner)
    try:
        _write(run, options)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = one_line(str(error).partition("\n")[0])
        raise InputError(f"DIR={run}: its tables cannot be read ({first})") from None
    return OK


def _write(run: Path, options: argparse.Namespace) -> None:
    """Write the trace and the picture of one planner's run."""
    import polars as pl

    from lab.console import say
    from lab.figure_style import DPI
    from lab.frames import scan
    from lab.run_directory import TRACE, TRACE_PICTURE
    from lab.trace.perfetto import events, write
    from lab.trace.picture import picture
    from lab.trace.slices import after_of, requests_of, traced
    from lab.wording import count

    rows = requests_of(run, options.start_s, options.end_s, options.query, MOST)
    requests = list(traced(rows, after_of(run)))
    ids = rows["query"].unique().to_list()
    start_s, end_s = options.start_s, options.end_s

    def table(name: str) -> pl.DataFrame:
        scanned = scan(run, name)
        if options.query:
            scanned = scanned.filter(pl.col("query").is_in(options.query))
        return scanned.collect()

    windows = table("windows").filter(pl.col("end_s") > start_s, pl.col("start_s") < end_s)
    decided = table("decisions").filter(pl.col("decided_s").is_between(start_s, end_s))
    path = run / TRACE
    aside = path.with_suffix(".json.part")
    with aside.open("w", encoding="utf-8") as file:
        write(events(requests, table("queries"), windows, decided), file)
    aside.replace(path)
    counted = f"{count(len(requests), 'request')} of {count(len(ids), 'query', 'queries')}"
    say(f"{counted}: {path} (open it at ui.perfetto.dev)")
    completed = [each for each in requests if each.slices]
    image = run / TRACE_PICTURE
    if not completed:
        image.unlink(missing_ok=True)  # It would be of another trace.
        say("no picture: none of these requests was completed")
    else:
        aside = image.with_suffix(".png.part")
        picture(completed).savefig(aside, dpi=DPI, format="png", metadata={"Software": None})
        aside.replace(image)
        say(f"picture: {image}")
