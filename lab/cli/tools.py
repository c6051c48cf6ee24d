"""The command ``compass-lab``: its tools and their options.

A tool is imported only when it runs, so that ``--help`` is fast.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, NoReturn

from hardware_models.errors import TableError, UnknownNameError
from lab.cli.arguments import REFUSED, ArgumentParser, PrintVersion
from lab.cli.options.hardware import add_tools_on_hardware
from lab.cli.options.live import add_animate, add_app, add_mcp
from lab.cli.options.runs import add_leaderboard, add_tools_on_runs
from lab.cli.options.serving import add_observe, add_predict_and_compare
from lab.cli.options.what_if import add_atlas, add_what_if
from lab.common import options
from lab.common.command import FAILED, run_command
from lab.common.errors import InputError, choices, printable
from lab.common.garbage import imported_for_good
from lab.common.resources import check_machine, shortage

OK = 0
TOOLS = (
    *("check-planner", "report", "explain", "fork", "regret", "trace", "animate", "app", "mcp"),
    *("agree", "list"),
    *("tables", "accelerator", "calibrate", "import", "fit", "validate", "validation-page"),
    *("what-if", "capacity", "sensitivity", "observe", "predict", "compare", "atlas", "reproduce"),
    "leaderboard",
)

FURTHER = "compass_lab.tools"
"""Entry points of tools in other packages: modules with a function ``add_parser``."""


def main(arguments: list[str] | None = None) -> int:
    """Run one tool; return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_command("compass-lab", partial(_main, words))


def _main(words: list[str]) -> int:
    known = (*TOOLS, *entry_points(group=FURTHER).names)
    if words and not words[0].startswith("-") and words[0] not in known:
        return _refused(f"{words[0] or repr('')}: no such tool; {choices(words[0], known)}")
    options = _parsed(words)
    check_machine()
    return reported(partial(options.tool, options), words[0])


def reported(tool: Callable[[], Any], name: str) -> int:
    """Run a tool, and report its errors in one sentence; return the exit status."""
    try:
        return int(tool())
    except (InputError, TableError, UnknownNameError) as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(shortage(error) or f"{error.filename or name}: {error.strerror}")
    except SystemExit:  # Code of a user can raise it; its status 0 would say that all is well.
        print(f"compass-lab: {name} was ended by SystemExit", file=sys.stderr)
        return FAILED


def _refused(sentence: str) -> int:
    """Print an error of one sentence to standard error; return the exit status of bad input."""
    print(f"compass-lab: {printable(sentence)}", file=sys.stderr)
    return REFUSED


def _parsed(words: list[str]) -> argparse.Namespace:
    """Parse a command line; overrides can appear between and after other options."""
    made = parser()
    options: argparse.Namespace
    options, left = made.parse_known_args(words)
    if left:
        if "overrides" not in options or any(each.startswith("-") for each in left):
            options.parsed_by.error(f"unrecognized arguments: {left[0]}")
        options.overrides += left
    return options


def parser() -> ArgumentParser:
    """Return the parser of all tools, including those of other packages."""
    made = ArgumentParser("compass-lab", description="Tools around compass-sim.")
    made.add_argument("--version", action=PrintVersion, nargs=0, help="print the version")
    tools = made.add_subparsers(title="tools", required=True, metavar="TOOL")
    add_animate(_add, tools)
    add_app(_add, tools)
    add_mcp(_add, tools)
    add_tools_on_runs(_add, tools)
    _add_list(tools)
    add_tools_on_hardware(_add, tools)
    add_what_if(_add, tools)
    add_atlas(_add, tools)
    add_observe(_add, tools)
    add_predict_and_compare(_add, tools)
    add_leaderboard(_add, tools)
    _add_reproduce(tools)
    for each in entry_points(group=FURTHER):
        try:
            each.load().add_parser(tools)
        except Exception as error:  # A broken tool of another package must not break the others.
            sentence = (
                f"tool {each.name} ({each.value}) is left out: {type(error).__name__}: {error}"
            )
            print(f"compass-lab: warning: {printable(sentence)}", file=sys.stderr)
    return made


def _add(tools: Any, name: str, place: str, help: str, description: str = "") -> ArgumentParser:
    """Add a tool's parser; `place` names the function that runs it, as ``module.function``."""
    made: ArgumentParser = tools.add_parser(name, help=help, description=description or None)
    made.set_defaults(tool=partial(_call, place))
    return made


def _call(place: str, options: argparse.Namespace) -> Any:
    module, _, function = place.rpartition(".")
    with imported_for_good():
        imported = import_module(f"lab.cli.{module}")
    return getattr(imported, function)(options)


def _add_list(tools: Any) -> None:
    list_ = tools.add_parser("list", help="list the options of each configuration group")
    list_.set_defaults(tool=_list_options)


def _list_options(_: argparse.Namespace) -> int:
    print(options.listing(folders=True))
    return OK


def _add_reproduce(tools: Any) -> None:
    """Add the tool ``reproduce``, which works only in a checkout of the project."""
    if find_spec("studies") is not None:
        import_module("studies.reproduce_tool").add_parser(tools)
        return
    reproduce = tools.add_parser("reproduce", help="reproduce the paper's figures, in a checkout")
    reproduce.add_argument("figures", nargs=argparse.REMAINDER, metavar="FIGURE")
    reproduce.set_defaults(tool=_needs_checkout)


def _needs_checkout(_: argparse.Namespace) -> NoReturn:
    raise InputError(
        "reproduce: the package does not include the studies; run this in a checkout of the "
        "project (python3 tasks.py sets one up)"
    )


if __name__ == "__main__":
    sys.exit(main())
