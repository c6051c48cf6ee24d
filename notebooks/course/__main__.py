"""Make the course's notebooks and slides from their texts.

    python -m notebooks.course release        the students' notebooks, which the wheel carries
    python -m notebooks.course source DIR     the instructor's, with solutions, for nbgrader
    python -m notebooks.course slides DIR     slides (HTML) of each notebook, executed

Packages that read and execute notebooks come with the extra "test": pip install '.[test]'.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from lab.common.errors import choices


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    parser = ArgumentParser(
        "python -m notebooks.course",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("release", "source", "slides"))
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="of source, slides")
    parser.add_argument("--only", metavar="NAME", help="one notebook; all by default")
    options = parser.parse_args(arguments)
    try:
        from notebooks.course import build, shown
    except ModuleNotFoundError as error:
        advice = "it comes with the extra test: pip install '.[test]'"
        print(f"notebooks.course: {error.name} is not installed; {advice}", file=sys.stderr)
        return 2
    known = build.names()
    if options.only is not None and options.only not in known:
        sentence = f"--only={options.only}: there is no such notebook"
        print(f"{sentence}; {choices(options.only, known)}", file=sys.stderr)
        return 2
    if (options.directory is None) == (options.what in ("source", "slides")):
        needs = "needs a directory" if options.directory is None else "takes no directory"
        print(f"{options.what}: it {needs}", file=sys.stderr)
        return 2
    folder = options.directory or build.RELEASED
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"{options.what}: {folder}: {error.strerror}", file=sys.stderr)
        return 2
    for name in known if options.only is None else [options.only]:
        if options.what == "slides":
            print(shown.write_slides(name, folder))
        else:
            made = build.released(name) if options.what == "release" else build.source(name)
            print(build.write(made, folder / f"{name}.ipynb"))
    if options.what == "release":
        print(build.write(build.drift(), folder / f"{build.DRIFT}.ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
