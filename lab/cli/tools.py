"""The command ``compass-lab``: all tools but the simulation itself."""

import argparse
import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from lab.cli import agree, capacity, explain, report, sensitivity, tables, trace

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
BEFORE_LIST = (report, explain, trace, agree)
AFTER_LIST = (tables, capacity, sensitivity)
TOOLS = (
    "check-planner", "report", "explain", "trace", "agree", "list", *tables.TOOLS, "capacity",
    "sensitivity", "reproduce",
)  # fmt: skip

FURTHER = "compass_lab.tools"
"""Entry points of tools from outside this package: modules with a function ``add_parser``."""


def main(arguments: list[str] | None = None) -> int:
    """Run one tool; return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    known = (*TOOLS, *entry_points(group=FURTHER).names)
    if words and not words[0].startswith("-") and words[0] not in known:
        from lab.common.errors import choices

        print(f"compass-lab: {words[0]}: no such tool; {choices(words[0], known)}", file=sys.stderr)
        return REFUSED
    options = _parsed(words)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # A console script does not see the current directory.
    from hardware_models.errors import TableError, UnknownNameError
    from lab.common.errors import InputError

    try:
        return int(options.tool(options))
    except (InputError, TableError, UnknownNameError) as error:
        print(f"compass-lab: {error}", file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(f"compass-lab: {error.filename or words[0]}: {error.strerror}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as error:
        print(": ".join(["compass-lab: interrupted", *map(str, error.args)]), file=sys.stderr)
        return INTERRUPTED


def _parsed(words: list[str]) -> argparse.Namespace:
    """Return the options; overrides may stand behind others, which argparse would not have."""
    made = parser()
    options, left = made.parse_known_args(words)
    if left:
        if "overrides" not in options or any(each.startswith("-") for each in left):
            made.error(f"unrecognized arguments: {' '.join(left)}")
        options.overrides += left
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser of all tools, those of others among them."""
    made = argparse.ArgumentParser("compass-lab", description="Tools around compass-sim.")
    tools = made.add_subparsers(title="tools", required=True, metavar="TOOL")
    check = tools.add_parser("check-planner", help="check that a planner keeps its contract")
    check.add_argument("target", help="the planner's class, such as my_pkg.MyPlanner")
    check.add_argument("parameters", nargs="*", metavar="KEY=VALUE", help="its parameters")
    check.set_defaults(tool=check_planner)
    for module in BEFORE_LIST:
        module.add_parser(tools)
    list_ = tools.add_parser("list", help="list what the configuration can be composed of")
    list_.set_defaults(tool=list_options)
    for module in AFTER_LIST:
        module.add_parser(tools)
    _add_reproduce(tools)
    for each in entry_points(group=FURTHER):
        try:
            each.load().add_parser(tools)
        except Exception as error:  # A tool of a stranger must not take ours with it.
            sentence = (
                f"tool {each.name} ({each.value}) is left out: {type(error).__name__}: {error}"
            )
            print(f"compass-lab: warning: {sentence}", file=sys.stderr)
    return made


def _add_reproduce(tools: Any) -> None:
    """Add the tool that reproduces the paper's figures; a checkout has it, a wheel does not."""
    if find_spec("studies") is not None:
        import_module("studies.reproduce_tool").add_parser(tools)
        return
    parser = tools.add_parser("reproduce", help="reproduce the paper's figures, from a checkout")
    parser.add_argument("figures", nargs=argparse.REMAINDER, metavar="FIGURE")
    parser.set_defaults(tool=_needs_checkout)


def _needs_checkout(_: argparse.Namespace) -> int:
    """Refuse to reproduce figures without the studies."""
    print(
        "compass-lab: reproduce: the studies are not installed with the package; run it in a "
        "checkout of the project (python3 tasks.py sets one up)",
        file=sys.stderr,
    )
    return REFUSED


def check_planner(options: argparse.Namespace) -> int:
    """Check a planner; print one sentence on what is wrong, or that nothing is."""
    from omegaconf import OmegaConf

    from lab.common.errors import COMPOSING, InputError, one_line, raised_by
    from lab.config.targets import build
    from sim.api.planner import Planner
    from sim.conformance.check_planner import PlannerCheckError
    from sim.conformance.check_planner import check_planner as check

    for pair in options.parameters:
        if "=" not in pair:
            raise InputError(f"{pair}: not a parameter; write KEY=VALUE")
        try:
            OmegaConf.from_dotlist([pair])
        except Exception as error:  # Of YAML's, or of OmegaConf's.
            if not raised_by(error, COMPOSING):
                raise
            reason = one_line(getattr(error, "problem", None) or f"{error}".partition("\n")[0])
            raise InputError(f"{pair}: cannot be read as KEY=VALUE ({reason})") from None
    node: Any = OmegaConf.to_container(OmegaConf.from_dotlist(options.parameters))
    planner = build({**node, "_target_": options.target}, "planner", Planner)
    try:
        check(planner)
    except PlannerCheckError as error:
        print(f"compass-lab: {error}", file=sys.stderr)
        return FAILED
    print(f"{options.target} keeps the contract of planners")
    return OK


def list_options(_: argparse.Namespace) -> int:
    """Print the options of each group of the configuration."""
    from lab.common.options import listing

    print(listing(folders=True))
    return OK


if __name__ == "__main__":
    sys.exit(main())
