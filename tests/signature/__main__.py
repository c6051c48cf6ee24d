"""Compare the signature with its record, or record it anew.

python -m tests.signature            what moved, and which version to raise; exit 1 if any
python -m tests.signature --write    record anew, unless a version must be raised first
"""

import argparse
import sys

from joblib import Parallel, delayed

from tests.signature.record import FILE, Record
from tests.signature.runs import NAMES, made


def main(words: list[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser("python -m tests.signature", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record anew")
    write = parser.parse_args(words).write
    kept = Record.read()
    runs = Parallel(2)(delayed(made)(name) for name in NAMES)
    found = Record.of(dict(zip(NAMES, runs, strict=True)))
    problems = kept.problems(found) if kept else []
    print(*problems, sep="\n")
    if write and not problems:
        found.write()
        print(f"recorded {len(NAMES)} runs in {FILE.name}")
    elif kept and not problems:
        problems = kept.outdated(found)
        print(*problems or [f"{len(NAMES)} runs have the recorded results"], sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
