"""The tool ``animate`` of ``compass-lab``."""

import argparse

from lab.common.errors import InputError, no_directory

ENDING = ".html"


def animate(options: argparse.Namespace) -> int:
    """Write the animation of a run as one HTML file."""
    out = options.out
    if not options.run.is_dir():
        raise InputError(f"RUN={options.run}: {no_directory(options.run)}")
    if out is not None and out.suffix.lower() != ENDING:
        raise InputError(f"--out={out}: must end in {ENDING}, because an HTML file is written")
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out={out}: {no_directory(out.parent)}")
    from lab.common.console import say
    from lab.reporting.animation.export import of_run, page
    from lab.reporting.explain.record import find_run
    from lab.runs.run_directory import write_aside

    run = find_run(options.run)
    path = out or run / f"animation{ENDING}"
    text = page(*of_run(run))
    try:
        write_aside(path, text)
    except OSError as error:
        raise InputError(f"--out={path}: cannot be written: {error.strerror}") from None
    say(f"animation: {path}")
    return 0
