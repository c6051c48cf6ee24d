"""Options that say how much of a study is run, for both commands; quick to import."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from re import fullmatch


def add_options(parser: ArgumentParser) -> None:
    """Add the options that say how much of a study is run."""
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few seeds, to see that it runs"
    )
    parser.add_argument(
        "--seeds",
        type=_seeds,
        metavar="N",
        help="how many seeds, 0, 1, ..., N - 1, or which, such as 0-9,100-119; by default those "
        "that each study names",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at the same time (all cores)")


def _seeds(text: str) -> tuple[str, Sequence[int]]:
    """Return how seeds were told, and which they are."""
    if text.isdecimal() and int(text) > 0:
        return text, range(int(text))
    parts = [fullmatch(r"(\d+)(?:-(\d+))?", part) for part in text.split(",")]
    ranges = [range(int(one[1]), int(one[2] or one[1]) + 1) if one else range(0) for one in parts]
    seeds = [seed for each in ranges for seed in each]
    if text.isdecimal() or not all(ranges) or seeds != sorted(set(seeds)):
        raise ArgumentTypeError(
            f"{text}: must be a whole number of 1 or more, which says how many, or say which, "
            "each once and in order, such as 0-9,100-119"
        )
    return text, seeds
