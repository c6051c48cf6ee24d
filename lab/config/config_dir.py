"""A directory of the user's own configuration files, searched before those of the package."""

import argparse
from pathlib import Path

from lab.common.errors import InputError, key_of, no_directory

SEARCH_PATH = "hydra.searchpath"


def add_overrides(parser: argparse.ArgumentParser, example: str = "") -> None:
    """Add the arguments for overrides and a directory of files; `example` ends their help."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help=f"overrides as for compass-sim{example}",
    )
    parser.add_argument(
        "--config-dir",
        metavar="DIR",
        help="where files of your own are, such as DIR/experiment/mine.yaml",
    )


def overrides_of(options: argparse.Namespace) -> list[str]:
    """Return the overrides of a tool, after one for the directory of files.

    Raises InputError if there is no such directory, or if a key is Hydra's.
    """
    for word in options.overrides:
        refuse_hydra(word, "nothing of it has a meaning here; name your own files by --config-dir")
    if options.config_dir is None:
        return list(options.overrides)
    path = check_directory(options.config_dir)
    return [f"{SEARCH_PATH}=['file://{path.resolve()}']", *options.overrides]


def check_directory(given: str) -> Path:
    """Return the path of a directory of configuration files; raise InputError if it is missing."""
    path = Path(given)
    if not path.is_dir():
        raise InputError(f"--config-dir={given}: {no_directory(path)}")
    return path


def words_of(options: argparse.Namespace) -> list[str]:
    """Return the words of a command line by which a tool is given the same."""
    where = [] if options.config_dir is None else ["--config-dir", str(options.config_dir)]
    return [*where, *options.overrides]


def refuse_hydra(override: str, advice: str) -> None:
    """Refuse an override of Hydra's keys except its search path; raise InputError with advice."""
    key = key_of(override)
    if key.startswith(("hydra.", "hydra/")) and key != SEARCH_PATH:
        raise InputError(f"{override}: Hydra's own keys are for compass-sim; {advice}")
