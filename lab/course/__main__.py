"""Copy the course's notebooks into a directory, to work on them there.

    python -m lab.course DIRECTORY

To open them: pip install 'compass-sim[notebooks]', then jupyter lab DIRECTORY.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from lab.common.command import run_command

RELEASED = Path(__file__).parent / "released"


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    parser = ArgumentParser(
        "python -m lab.course", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    folder = parser.parse_args(arguments).directory
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(RELEASED.glob("*.ipynb")):
            if (folder / path.name).exists():
                print(f"{folder / path.name} is there already, and stays as it is")
                continue
            (folder / path.name).write_bytes(path.read_bytes())
            print(folder / path.name)
    except OSError as error:
        print(
            f"python -m lab.course: {error.filename or folder}: {error.strerror}", file=sys.stderr
        )
        return 2
    print(f"to open them: jupyter lab {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command("python -m lab.course", lambda: main(sys.argv[1:])))
