"""The command ``compass-lab``: all tools but the simulation itself, and their options.

A tool is imported when it runs, so that ``--help`` is quick.
"""

import argparse
import math
import os
import sys
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from hardware_models.errors import TableError, UnknownNameError
from lab.common import options
from lab.common.errors import InputError, choices
from lab.common.garbage import imported_for_good

OK, REFUSED, INTERRUPTED = 0, 2, 130
MOST_ROWS = 20
TOOLS = (
    *("check-planner", "report", "explain", "trace", "agree", "list", "tables", "accelerator"),
    *("calibrate", "import", "fit", "validate", "validation-page", "capacity", "sensitivity"),
    "reproduce",
)

FURTHER = "compass_lab.tools"
"""Entry points of tools from outside this package: modules with a function ``add_parser``."""


def main(arguments: list[str] | None = None) -> int:
    """Run one tool; return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    known = (*TOOLS, *entry_points(group=FURTHER).names)
    if words and not words[0].startswith("-") and words[0] not in known:
        print(f"compass-lab: {words[0]}: no such tool; {choices(words[0], known)}", file=sys.stderr)
        return REFUSED
    options = _parsed(words)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # A console script does not see the current directory.
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


class ArgumentParser(argparse.ArgumentParser):
    """A parser, and parsers of its tools, that refuse an argument in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        message = message.replace("invalid float value: ", "must be a number, not ")
        message = message.replace("invalid int value: ", "must be a whole number, not ")
        self.exit(REFUSED, f"{self.prog}: {message}; {self.prog} --help says what there is\n")


def parser() -> ArgumentParser:
    """Return the parser of all tools, those of others among them."""
    made = ArgumentParser("compass-lab", description="Tools around compass-sim.")
    tools = made.add_subparsers(title="tools", required=True, metavar="TOOL")
    _add_tools_on_runs(tools)
    _add_tools_on_hardware(tools)
    _add_what_if(tools)
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


def _add(tools: Any, name: str, place: str, help: str, description: str = "") -> ArgumentParser:
    """Add the parser of a tool, whose function is at ``module.function`` of this package."""
    made: ArgumentParser = tools.add_parser(name, help=help, description=description or None)
    made.set_defaults(tool=partial(_call, place))
    return made


def _call(place: str, options: argparse.Namespace) -> Any:
    module, _, function = place.partition(".")
    with imported_for_good():
        imported = import_module(f"lab.cli.{module}")
    return getattr(imported, function)(options)


def _add_tools_on_runs(tools: Any) -> None:
    check = _add(
        tools, "check-planner", "checks.check_planner", "check that a planner keeps its contract"
    )
    check.add_argument("target", help="the planner's class, such as my_pkg.MyPlanner")
    check.add_argument("parameters", nargs="*", metavar="KEY=VALUE", help="its parameters")
    report = _add(
        tools,
        "report",
        "report.report",
        "compare the planners of a sweep: tables, figures, one page",
        "Compare the planners of a sweep, a comparison or a run: tables here; figures, Parquet "
        "files and one HTML page in DIR/report.",
    )
    report.add_argument(
        "directory", type=Path, metavar="DIR", help="directory of a run or of a sweep"
    )
    every_row = "print every row of the table of a run, with zeros and details"
    report.add_argument("--all", action="store_true", help=every_row)
    explain = _add(
        tools,
        "explain",
        "explain.explain",
        "say why a query got its plan, and what came of it",
        "What was profiled, believed and true of a query's plans, what was chosen or "
        "refused and why, and how it went. Exit status: 0, or 2 for bad input.",
    )
    explain.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    explain.add_argument("query", metavar="QUERY", help="number of the query, by arrival from 0")
    explain.add_argument("--figure", type=Path, metavar="OUT.png", help="draw it too")
    rows = f"most rows of a table ({MOST_ROWS}); 0 for all"
    explain.add_argument("--rows", type=int, default=MOST_ROWS, metavar="N", help=rows)
    trace = _add(
        tools,
        "trace",
        "explain.trace",
        "write the requests of a run as a trace for Perfetto, and as a picture",
        "Writes trace.json, which ui.perfetto.dev opens, and trace.png, into the "
        "directory of a run that was simulated with requests=true.",
    )
    trace.add_argument("directory", type=Path, metavar="DIR", help="directory of a run")
    trace.add_argument("--planner", metavar="NAME", help="one of several that were compared")
    for name, default, which in (("from", 0.0, "first"), ("to", math.inf, "last")):
        shown = f"{which} simulated second ({'0' if default == 0 else 'the end'})"
        trace.add_argument(
            f"--{name}", dest=f"{name}_s", type=float, default=default, metavar="S", help=shown
        )
    trace.add_argument(
        "--query",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="a query to show, may be given several times (all)",
    )
    agree = _add(
        tools,
        "agree",
        "checks.agree",
        "check that two data planes give the same results of a scenario",
        "Runs a scenario on the event data plane, the reference, and on another one "
        "side by side, and compares every request, to the nanosecond, and every row of every "
        "table. The other is data_plane=blocks, unless an override names one. Exit status: 0 if "
        "they agree; 1 at the first difference, which is shown; 2 for bad input.",
    )
    _add_overrides(agree, ", such as experiment=speech_small planner=greedy seed=3")
    list_ = tools.add_parser("list", help="list what the configuration can be composed of")
    list_.set_defaults(tool=_list_options)


def _add_tools_on_hardware(tools: Any) -> None:
    tables = _add(
        tools, "tables", "tables.tables", "list the tables of the hardware models, or show one"
    )
    tables.add_argument("name", nargs="?", help="the table to show")
    tables.add_argument("--csv", type=Path, metavar="OUT", help="write it to a CSV file")
    accelerator = _add(
        tools,
        "accelerator",
        "tables.accelerator",
        "check the file of an accelerator, and show what follows from it",
        "Exit status: 0 if the file is fine, 2 if not. For a file of the package in a "
        "checkout, writes docs/evidence/validation.md anew.",
    )
    accelerator.add_argument("file", type=Path, metavar="BOARD.toml")
    _add_calibrate_and_import(tools)
    fit = _add(tools, "fit", "tables.fit", "fit the hardware models to their tables anew")
    fit.add_argument("names", nargs="*", metavar="NAME", help="the fits; all by default")
    fit.add_argument("--out", type=Path, metavar="DIR", help="by default, the package's own data")
    validate = _add(
        tools,
        "validate",
        "tables.validate",
        "predict measured rows by the hardware models, and compare",
        "Exit status: 0 within the thresholds, 1 beyond, 2 for bad input.",
    )
    validate.add_argument("rows", type=Path, help="CSV or Parquet file with the columns of a table")
    validate.add_argument("--table", help="the table; by default found by its columns")
    validate.add_argument(
        "--merge",
        action="append",
        default=[],
        metavar="TABLE=FILE",
        help="predict with rows of your own merged into a table",
    )
    for name in ("median", "p90"):
        validate.add_argument(
            f"--threshold-{name}",
            type=float,
            default=math.inf,
            metavar="PCT",
            help=f"allowed {name} of the absolute error over all rows, in percent",
        )
    validate.add_argument("--parquet", type=Path, metavar="OUT", help="write every prediction")
    validate.add_argument("--figure", type=Path, metavar="OUT.png", help="draw them")
    validate.add_argument("--worst", type=int, default=5, metavar="N", help="rows to list (5)")
    page = _add(
        tools,
        "validation-page",
        "tables.validation_page",
        "write the page on how good the fits are",
    )
    page.add_argument("--out", type=Path, default=Path("docs/evidence/validation.md"))
    page.add_argument("--figures", action="store_true", help="draw its figures too (slow)")


def _add_calibrate_and_import(tools: Any) -> None:
    calibrate = _add(
        tools,
        "calibrate",
        "tables.calibrate",
        "measure an operator on this machine, as rows of a table",
        "Times batches of an operator by the wall clock and writes the median of each "
        "size with an order-statistic interval: latencies have a long tail, which a mean follows "
        "and a median does not, and the interval supposes no distribution.",
    )
    operator = calibrate.add_mutually_exclusive_group(required=True)
    operator.add_argument(
        "--callable",
        metavar="MODULE:FUNCTION",
        help="function(batch: int) that runs one batch and returns when it is done: on a GPU it "
        "must itself wait for the device (as torch.cuda.synchronize() does)",
    )
    operator.add_argument(
        "--command",
        metavar="'PROGRAM ... {batch}'",
        help="command line that runs one batch; its start is timed too",
    )
    calibrate.add_argument("--table", default="gpu_latency", help="gpu_latency or device_latency")
    calibrate.add_argument("--batches", default="1", help="batch sizes, such as 1,2,4,8")
    import_ = _add(
        tools,
        "import",
        "tables.import_",
        "read what other tools measured into rows of a table",
        "FORMAT is perf-analyzer (CSV of Triton perf_analyzer -f), vllm-bench (JSON of "
        "vllm bench serve --save-result) or mlperf-loadgen (mlperf_log_summary.txt).",
    )
    import_.add_argument("format", metavar="FORMAT")
    import_.add_argument("file", type=Path)
    for each in (calibrate, import_):
        each.add_argument("--model", help="the operator")
        each.add_argument("--gpu", help="the board")
        each.add_argument("--slices", type=int, help="its compute slices (those of a whole one)")
        each.add_argument("--processes", type=int, default=1, help="how many at the same time (1)")
    calibrate.add_argument("--device", help="the device (table device_latency)")
    calibrate.add_argument("--backend", default="cpu", help="what runs the operator there")
    calibrate.add_argument("--threads", type=int, default=1, help="with how many threads")
    calibrate.add_argument("--warmup", type=int, default=3, help="untimed batches before (3)")
    calibrate.add_argument("--repeats", type=int, default=10, help="timed batches, of each process")
    calibrate.add_argument("--confidence", type=float, default=0.95, help="of the interval (0.95)")
    import_.add_argument("--batch", type=int, help="the batch size, where the file does not say it")
    import_.add_argument("--tensor-parallel", type=int, default=1, help="boards for one LLM (1)")
    for each in (calibrate, import_):
        each.add_argument("--out", type=Path, metavar="ROWS.csv", help="instead of the screen")
        each.add_argument("--append", action="store_true", help="add to the file if it exists")
        each.add_argument("--source", help="what to name as the source of the rows")
        each.add_argument("--source-url", metavar="https://...", help="where they are published")


def _add_what_if(tools: Any) -> None:
    capacity = _add(
        tools,
        "capacity",
        "what_if.capacity",
        "find the least machines that reach a target",
        "Searches combinations of some keys for the one whose machines cost least and "
        "reach a target, by simulations on more and more seeds, until each verdict holds with the "
        "stated confidence. More of a number is taken to serve no fewer. planner=NAME says who "
        "plans, by default cheapest_feasible unless the experiment names one. Runs are kept in the "
        "directory and not made again; figure and table have a name for each question. Exit "
        "status: 0 if some combination suffices; 1 if none does; 2 for bad input.",
    )
    _add_question(
        capacity,
        "KEY=VALUES",
        "a key and its values, such as cluster.nodes.cloud.count=range(1,9) or "
        "cluster.nodes.cloud.machine=a2-highgpu-1g,g2-standard-8; may be given several times",
        required=True,
    )
    target = capacity.add_mutually_exclusive_group(required=True)
    for option, words in (
        ("--at-least", "least it is to be on average, in its own unit; shares are from 0 to 1"),
        ("--at-most", "most it is to be on average, likewise"),
    ):
        target.add_argument(option, type=float, metavar="X", help=f"the {words}")
    capacity.add_argument(
        "--confidence", type=float, default=0.95, help="of each verdict by itself (0.95)"
    )
    _add_effort(
        capacity,
        (20, "most seeds (20)"),
        "most runs at a time (all cores); there are as many as a look adds seeds",
        Path("outputs") / "capacity",
    )
    sensitivity = _add(
        tools,
        "sensitivity",
        "what_if.sensitivity",
        "find which assumption moves an answer most",
        "Simulates each assumption alone, low and high, on the same seeds as the base, "
        "and orders them by what they do to the answer: a metric of the planner, or by how much it "
        "is above another planner's. planner=NAME says who plans, by default cheapest_feasible "
        "unless the experiment names one. Runs are kept in the directory and not made again; "
        "figure and table have a name for each question.",
    )
    _add_question(
        sensitivity,
        "KEY=LOW,HIGH",
        "an assumption and exactly two values, such as workload.rate=0.08,0.125; may be given "
        "several times; by default those that the documentation lists",
    )
    sensitivity.add_argument(
        "--against",
        metavar="planner=NAME",
        help="another planner; the answer is then the difference to it",
    )
    _add_effort(
        sensitivity,
        (5, "how many seeds (5)"),
        "runs at a time (all cores)",
        Path("outputs") / "sensitivity",
    )


def _add_overrides(tool: ArgumentParser, example: str = "") -> None:
    """Add the arguments for overrides and a directory of files; `example` ends their help."""
    words = f"overrides as for compass-sim{example}"
    tool.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=words)
    words = "where files of your own are, such as DIR/experiment/mine.yaml"
    tool.add_argument("--config-dir", metavar="DIR", help=words)


def _add_question(tool: ArgumentParser, varied: str, about: str, required: bool = False) -> None:
    """Add what a what-if question is about: overrides, varied keys, and a metric."""
    _add_overrides(tool)
    tool.add_argument(
        "--vary", action="append", default=[], required=required, metavar=varied, help=about
    )
    tool.add_argument("--metric", default="slo_met_fraction", help="a number of the summary")


def _add_effort(tool: ArgumentParser, seeds: tuple[int, str], jobs: str, out: Path) -> None:
    """Add how a what-if question is answered: on how many seeds, in parallel, and where."""
    tool.add_argument("--seeds", type=int, default=seeds[0], metavar="N", help=seeds[1])
    tool.add_argument("--jobs", type=int, metavar="N", help=jobs)
    tool.add_argument("--out", type=Path, default=out, help=f"directory of results ({out})")


def _list_options(_: argparse.Namespace) -> int:
    print(options.listing(folders=True))
    return OK


def _add_reproduce(tools: Any) -> None:
    """Add the tool that reproduces the paper's figures; a checkout has it, a wheel does not."""
    if find_spec("studies") is not None:
        import_module("studies.reproduce_tool").add_parser(tools)
        return
    reproduce = tools.add_parser("reproduce", help="reproduce the paper's figures, from a checkout")
    reproduce.add_argument("figures", nargs=argparse.REMAINDER, metavar="FIGURE")
    reproduce.set_defaults(tool=_needs_checkout)


def _needs_checkout(_: argparse.Namespace) -> NoReturn:
    raise InputError(
        "reproduce: the studies are not installed with the package; run it in a checkout of the "
        "project (python3 tasks.py sets one up)"
    )


if __name__ == "__main__":
    sys.exit(main())
