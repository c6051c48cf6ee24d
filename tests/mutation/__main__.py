"""Mutation testing: it shows how many small faults in the code the test suite notices.

Commands of ``python -m tests.mutation``:

    record    run the tests once, to know which of them execute which line (pytest arguments may
              follow)
    run       try the tests on a sample of mutants; go on where it stopped
    show      print the result, and what survived

It needs cosmic-ray and coverage. Everything is kept in ``build/mutation``. After a change of the
tests, record again; after a change of the code, remove the results ``SEED-*.jsonl`` there as well.
"""

import argparse
import json
import sys
import time
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from tests.mutation.mutants import Mutant, modules, sample
from tests.mutation.recording import Recorded, record
from tests.mutation.trials import choose, trial, warm_up

HOME = Path("build/mutation")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
"""Mutants that cannot change behaviour: module, the changed line before and after, and why."""


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["record", "run", "show"])
    parser.add_argument("--count", type=int, default=300, help="number of mutants")
    parser.add_argument("--seed", type=int, default=40, help="of the sample")
    parser.add_argument("--most-s", type=float, default=60.0, help="of tests for each mutant")
    parser.add_argument("--again", action="store_true", help="try survivors again, and only them")
    parser.add_argument("--part", default="1/1", help="such as 1/2: the first of two processes")
    chosen, rest = parser.parse_known_args()
    if chosen.command == "record":
        return record(modules(), HOME, rest)
    if rest:
        parser.error(f"unknown: {' '.join(rest)}")
    drawn, results = sample(chosen.count, chosen.seed), read(chosen.seed)
    if chosen.command == "show":
        show(drawn, results)
        return 0
    this, of = map(int, chosen.part.split("/"))
    wanted = ("survived", "untested") if chosen.again else (None,)
    equivalent = left_out()
    left = [
        mutant
        for mutant in drawn[this - 1 :: of]
        if results.get(mutant.name, {}).get("outcome") in wanted
        and not (chosen.again and (mutant.module, *mutant.change) in equivalent)
    ]
    run(left, chosen.seed, chosen.most_s, f"{this}-{of}")
    return 0


def left_out() -> set[tuple[str, str, str]]:
    """Return module, line before and line after of the mutants that cannot change behaviour."""
    listed = tomllib.loads(EQUIVALENT.read_text())["mutant"]
    return {(each["module"], each["before"], each["after"]) for each in listed}


def read(seed: int) -> dict[str, dict]:
    """Return the last result of each mutant, by its name."""
    lines = [
        line
        for file in sorted(HOME.glob(f"{seed}-*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    found = sorted(map(json.loads, lines), key=lambda result: result["at"])
    return {result["name"]: result for result in found}


def run(mutants: list[Mutant], seed: int, most_s: float, part: str) -> None:
    """Try mutants one after the other; append each result to a file."""
    recorded = Recorded(HOME / "recording.json")
    warm_up()
    for number, mutant in enumerate(mutants, start=1):
        result = trial(mutant, *choose(mutant, recorded, most_s))
        line = {"name": mutant.name, "module": mutant.module, **result, "at": time.time()}
        with (HOME / f"{seed}-{part}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{number}/{len(mutants)}", result["outcome"], mutant.name, result["seconds"], "s")
        sys.stdout.flush()


def show(drawn: list[Mutant], results: dict[str, dict]) -> None:
    """Print how many mutants of each module were killed, and every other mutant."""
    equivalent = left_out()
    table: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for mutant in drawn:
        outcome = results.get(mutant.name, {}).get("outcome", "not tried")
        outcome = {"timeout": "killed", "untested": "survived"}.get(outcome, outcome)
        if outcome == "survived":
            if (mutant.module, *mutant.change) in equivalent:
                outcome = "equivalent"
            else:
                survivors.append(mutant)
        for place in (str(Path(mutant.module).parent), "all"):
            table[place][outcome] += 1
    kinds = ("killed", "survived", "equivalent", "not tried")
    print(f"{'':32}", *(f"{kind:>10}" for kind in kinds))
    for place in sorted(table, key=lambda name: (name == "all", name)):
        print(f"{place:32}", *(f"{table[place][kind]:10}" for kind in kinds))
    for mutant in sorted(survivors, key=lambda each: (each.module, each.start)):
        before, after = mutant.change
        print(f"\n{mutant.name}\n    - {before}\n    + {after}")


if __name__ == "__main__":
    sys.exit(main())
