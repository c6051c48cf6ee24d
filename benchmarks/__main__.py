"""Run a benchmark by name, or list the names."""

import json
import sys
from importlib import import_module
from pkgutil import iter_modules

import benchmarks
from lab.errors import choices

NAMES = sorted(
    module.name for module in iter_modules(benchmarks.__path__) if not module.name.startswith("_")
)


def main(arguments: list[str]) -> int:
    """Run one benchmark; return its exit status."""
    if not arguments:
        print("Benchmarks, each run by `python -m benchmarks NAME`:")
        for name in NAMES:
            print(
                f"  {name}: {(import_module(f'benchmarks.{name}').__doc__ or '').splitlines()[0]}"
            )
        return 0
    if len(arguments) > 1:
        print(f"{' '.join(arguments)}: give one name", file=sys.stderr)
        return 2
    if arguments[0] not in NAMES:
        print(
            f"{arguments[0]}: there is no such benchmark; {choices(arguments[0], NAMES)}",
            file=sys.stderr,
        )
        return 2
    print(json.dumps(import_module(f"benchmarks.{arguments[0]}").measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
