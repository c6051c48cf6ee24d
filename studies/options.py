"""The options of both commands that say how much of a study to run; this imports quickly."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from re import fullmatch


def add_options(parser: ArgumentParser) -> None:
    """Add the options that say how much of a study to run."""
    parser.add_argument(
        "--quick", action="store_true", help="use small sizes and few seeds, as a test run"
    )
    parser.add_argument(
        "--seeds",
        type=_seeds,
        metavar="N",
        help="number of seeds, which are then 0 to N - 1, or a list such as 0-9,100-119 "
        "(default: the seeds of the study)",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="parallel runs (one per core)")


def _seeds(text: str) -> tuple[str, Sequence[int]]:
    if text.isdecimal() and int(text) > 0:
        return text, range(int(text))
    parts = [fullmatch(r"(\d+)(?:-(\d+))?", part) for part in text.split(",")]
    ranges = [range(int(one[1]), int(one[2] or one[1]) + 1) if one else range(0) for one in parts]
    seeds = [seed for each in ranges for seed in each]
    if text.isdecimal() or not all(ranges) or seeds != sorted(set(seeds)):
        raise ArgumentTypeError(
            f"{text}: must be the number of seeds, 1 or more, or a list of seeds, each once and "
            "in order, such as 0-9,100-119"
        )
    return text, seeds
