"""Observe the cells of the campaign (run), or write the page on the errors of predictions (page).

run needs the extra [serve], and one to two hours on two cores. It can be stopped and started again.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from lab.common.errors import InputError
from lab.runs.run_directory import write_aside
from studies.served import planned
from studies.served.campaign import run
from studies.served.design import REQUESTS, SUBJECTS
from studies.served.results import PAGE, RESULTS, calibrations, page, results, store, stored

OK, REFUSED, INTERRUPTED = 0, 2, 130


def main(arguments: list[str]) -> int:
    """Run the campaign or write the page; return the exit status."""
    parser = ArgumentParser("python -m studies.served", description=__doc__)
    tools = parser.add_subparsers(dest="tool", required=True)
    observe = tools.add_parser("run", help="observe whatever is missing")
    observe.add_argument("--directory", type=Path, required=True, help="of the observations")
    subjects, words = sorted(SUBJECTS), "what is served (document_reading)"
    observe.add_argument("--subject", choices=subjects, default="document_reading", help=words)
    words = f"requests of each observation of a cell ({REQUESTS})"
    observe.add_argument("--requests", type=int, default=REQUESTS, help=words)
    write = tools.add_parser("page", help="write the page")
    words = "of the observations (the stored results are used)"
    write.add_argument("--directory", type=Path, help=words)
    write.add_argument("--results", type=Path, default=RESULTS, help="file of the results")
    write.add_argument("--out", type=Path, default=PAGE, help="file of the page")
    options = parser.parse_args(arguments)
    try:
        if options.tool == "run":
            subject = SUBJECTS[options.subject]
            run(options.directory, subject, options.requests, _say)
            known = calibrations(options.directory)
            planned.run(options.directory, subject, list(known.values()), _say)
            return OK
        if options.directory is not None:
            store(results(options.directory), options.results)
        write_aside(options.out, page(stored(options.results)))
        _say(f"wrote {options.out}")
    except InputError as error:
        print(f"studies.served: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("studies.served: interrupted", file=sys.stderr)
        return INTERRUPTED
    return OK


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
