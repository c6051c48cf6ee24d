"""Draw the pictures of the pages on concepts; with names, only those of these pages."""

import sys
from argparse import ArgumentParser

from lab.common.errors import InputError, choices
from studies.concepts.pictures import DIRECTORY, PICTURES

OK, REFUSED = 0, 2


def main(arguments: list[str]) -> int:
    """Draw the chosen pictures; return the exit status."""
    parser = ArgumentParser("python -m studies.concepts", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(PICTURES)}")
    options = parser.parse_args(arguments)
    try:
        for page in options.pages:
            if page not in PICTURES:
                raise InputError(f"{page}: has no picture here; {choices(page, PICTURES)}")
    except InputError as error:
        print(f"studies.concepts: {error}", file=sys.stderr)
        return REFUSED
    for page in options.pages or PICTURES:
        print(PICTURES[page](DIRECTORY / f"{page}.png"), flush=True)
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
