"""Run an experiment by name, or write the page.

Results are kept for the page, unless sizes were cut down or planners chosen.
"""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from math import fsum
from pathlib import Path
from re import fullmatch

from lab.common.errors import InputError, choices
from lab.run_cache.jobs import CACHE, Job, RunError, make
from lab.runs.run_directory import write_aside
from studies import page
from studies.common import store
from studies.registry import EXPERIMENTS

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
NAMES = [*EXPERIMENTS, "all", "page"]
SEEDS = "10"


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit status."""
    parser = ArgumentParser("python -m studies", description=__doc__)
    parser.add_argument(
        "name", type=_name, help=f"an experiment, all of them, or the page: {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--seeds",
        type=_seeds,
        default=SEEDS,
        metavar="N",
        help="how many seeds, 0, 1, ..., N - 1; or which, such as 0-9,100-119",
    )
    parser.add_argument(
        "--jobs", type=_count, default=2, metavar="N", help="how many runs at the same time"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to try it out; no result for the page"
    )
    parser.add_argument(
        "--planners",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="planners to compare, by the names of conf/planner; the first is the reference, or "
        "the last where that is the optimum; profiling and surrogates have planners of their own",
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="directory of kept runs")
    options = parser.parse_args(arguments)
    if options.name == "page":
        page.draw()
        write_aside(page.PAGE, page.page())
        print(page.PAGE)
        return OK
    names = list(EXPERIMENTS) if options.name == "all" else [options.name]
    try:
        asked = {
            name: EXPERIMENTS[name].jobs(options.seeds[1], options.quick, options.planners)
            for name in names
        }
        for name, jobs in asked.items():
            _run(name, jobs, options)
    except InputError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return REFUSED
    except RunError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as error:
        print(": ".join(["evaluation: interrupted", *map(str, error.args)]), file=sys.stderr)
        return INTERRUPTED
    return OK


def _run(name: str, jobs: Sequence[Job], options: Namespace) -> None:
    """Make the runs of an experiment, keep its result if it is one, and print its section."""
    rows = make(jobs, options.jobs, options.cache)
    made = {job.key: row["run_core_s"] for job, row in zip(jobs, rows, strict=True)}
    core_s = round(fsum(made.values()), 1)
    told = options.seeds[0]
    command = f"python -m studies {name}{f' --seeds {told}' if told != SEEDS else ''}"
    about = store.StudyHeader(command, len({job.seed for job in jobs}), core_s, len(made))
    if not options.quick and not options.planners:
        print(store.write(name, about, rows))
    print(*EXPERIMENTS[name].section(store.frame(rows)), sep="\n")


def _name(text: str) -> str:
    """Return what is to be run."""
    if text not in NAMES:
        raise ArgumentTypeError(f"{text}: there is no such experiment; {choices(text, NAMES)}")
    return text


def _seeds(text: str) -> tuple[str, Sequence[int]]:
    """Return how seeds were told, and which they are."""
    if text.isdecimal():
        return text, range(_count(text))
    parts = [fullmatch(r"(\d+)(?:-(\d+))?", part) for part in text.split(",")]
    ranges = [range(int(one[1]), int(one[2] or one[1]) + 1) if one else range(0) for one in parts]
    seeds = [seed for each in ranges for seed in each]
    if not all(ranges) or seeds != sorted(set(seeds)):
        raise ArgumentTypeError(
            f"{text}: must be a whole number of 1 or more, which says how many, or say which, "
            "each once and in order, such as 0-9,100-119"
        )
    return text, seeds


def _count(text: str) -> int:
    """Return a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: must be a whole number of 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
