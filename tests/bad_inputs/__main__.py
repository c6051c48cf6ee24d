"""What the commands answer to bad input: run every such command, and judge each answer.

``python -m tests.bad_inputs`` takes about 4 minutes; its status is 1 where an answer is wrong.
Names of groups of ``corpus.yaml`` may follow.
"""

import sys

from tests.bad_inputs.runner import groups, wrong


def main(names: list[str]) -> int:
    """Judge the commands of some groups, or of all; return the exit status."""
    chosen = [group for group in groups() if group.name in names or not names]
    if unknown := set(names) - {group.name for group in chosen}:
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such group")
    found = list(wrong(chosen))
    print("\n\n".join([*found, f"{len(found)} of {sum(len(g.cases) for g in chosen)} are wrong"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
