"""Run studies by name or by the paper's figure, or write the evaluation page.

Results are stored for the page, except those of runs with --quick or --planners, or on seeds below
2000, which are for building.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import polars as pl

from lab.behaviour import shipped, told
from lab.common.errors import InputError
from lab.run_cache.jobs import CACHE, RunError, at_a_time
from lab.runs.run_directory import write_aside
from studies import page
from studies.common import store
from studies.common.verdicts import FIRST_SEED
from studies.options import add_options
from studies.registry import BEYOND, FIGURES, STUDIES, TOGETHER, chosen
from studies.steps import Made, judged, run, scale_of

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
PAGE = "page"


def main(arguments: list[str]) -> int:
    """Run the chosen studies or write the page; return the exit status."""
    parser = ArgumentParser("python -m studies", description=__doc__)
    parser.add_argument(
        "studies",
        nargs="+",
        metavar="NAME",
        help=f"studies: {', '.join([*STUDIES, *TOGETHER])}; figures of the paper: "
        f"{', '.join(FIGURES)}; or {PAGE}",
    )
    add_options(parser)
    parser.add_argument(
        "--planners",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="planners to compare, by their names in conf/planner; the first is the reference, or "
        "the last if that is the optimum; some studies have fixed planners",
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="directory of kept runs")
    options = parser.parse_args(arguments)
    if options.studies == [PAGE]:
        page.draw()
        write_aside(page.PAGE, page.page())
        print(page.PAGE)
        return OK
    try:
        at_a_time(options.jobs)
        scale = scale_of(options)
        jobs = {name: STUDIES[name].jobs(scale) for name in chosen(options.studies)}
        for name, each in jobs.items():
            _show(name, run(each, options.jobs, options.cache), options)
    except InputError as error:
        print(f"studies: {error}", file=sys.stderr)
        return REFUSED
    except RunError as error:
        print(f"studies: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as error:
        print(": ".join(["studies: interrupted", *map(str, error.args)]), file=sys.stderr)
        return INTERRUPTED
    return OK


def _show(name: str, made: Made, options: Namespace) -> None:
    """Store the result of a complete study of the page; print its tables and verdicts."""
    reported = made.frame.select((pl.col("seed") >= FIRST_SEED).all()).item()
    if name in BEYOND and reported and not options.quick and not options.planners:
        seeds = "" if options.seeds is None else f" --seeds {options.seeds[0]}"
        about = store.StudyHeader(
            f"python -m studies {name}{seeds}",
            made.seeds,
            made.core_s,
            made.runs,
            told(shipped()),
        )
        print(store.write(name, about, made.rows))
    print(*STUDIES[name].lines(made.frame), sep="\n")
    if not options.planners:
        for finding in judged(name, made.frame):
            print(": ".join(finding.row[:3]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
