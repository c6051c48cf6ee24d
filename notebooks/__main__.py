"""Make the notebooks from their texts, execute them, and write their pages.

The packages that read and execute notebooks come with the extra "test": pip install '.[test]'.
"""

import os
import sys
from argparse import ArgumentParser
from time import monotonic

from lab.common.errors import choices
from notebooks import missing


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    parser = ArgumentParser("python -m notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks; all by default")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--pair", action="store_true", help="only write the .ipynb files")
    how.add_argument("--smoke", action="store_true", help="execute them short, write no page")
    options = parser.parse_args(arguments)
    try:
        from notebooks import _pages, _pairs
    except ModuleNotFoundError as error:
        return missing(error)
    known = _pairs.names()
    for name in options.names:
        if name not in known:
            print(f"{name}: there is no such notebook; {choices(name, known)}", file=sys.stderr)
            return 2
    for name in options.names or known:
        _pairs.pair(name)
        if options.pair:
            continue
        began, spent_s = monotonic(), _children_s()
        executed = _pages.execute(name, options.smoke)
        wall_s, core_s = monotonic() - began, _children_s() - spent_s
        print(f"{name}: {wall_s:.0f} s, {core_s:.0f} core-s", flush=True)
        if not options.smoke:
            _pages.write(name, executed)
    return 0


def _children_s() -> float:
    """Return the processor seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
