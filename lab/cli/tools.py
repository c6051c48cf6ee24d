"""The command ``compass-lab``: its tools and their options.

A tool is imported only when it runs, so that ``--help`` is fast.
"""

import argparse
import math
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from hardware_models.errors import TableError, UnknownNameError
from lab.cli.arguments import REFUSED, ArgumentParser, number, whole
from lab.cli.explain import MOST_ROWS, add_regret
from lab.cli.live.options import add_animate, add_app
from lab.cli.serving_options import (
    add_observe,
    add_predict_and_compare,
    add_served,
    wholes,
)
from lab.common import options
from lab.common.command import FAILED, run_command
from lab.common.errors import InputError, choices, printable
from lab.common.garbage import imported_for_good
from lab.common.resources import check_machine, shortage
from lab.version import __version__

OK = 0
TOOLS = (
    *("check-planner", "report", "explain", "regret", "trace", "animate", "app", "agree", "list"),
    *("tables", "accelerator", "calibrate", "import", "fit", "validate", "validation-page"),
    *("capacity", "sensitivity", "observe", "predict", "compare", "atlas", "reproduce"),
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
    version = f"compass-sim {__version__}"
    made.add_argument("--version", action="version", version=version, help="print the version")
    tools = made.add_subparsers(title="tools", required=True, metavar="TOOL")
    add_animate(_add, tools)
    add_app(_add, tools)
    _add_tools_on_runs(tools)
    _add_tools_on_hardware(tools)
    _add_what_if(tools)
    _add_atlas(tools)
    add_observe(_add, tools)
    add_predict_and_compare(_add, tools)
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


def _add_tools_on_runs(tools: Any) -> None:
    check = _add(
        tools,
        "check-planner",
        "check_planner.check_planner",
        "check that a planner keeps its contract",
    )
    check.add_argument("target", help="class of the planner, such as my_pkg.MyPlanner")
    check.add_argument("parameters", nargs="*", metavar="KEY=VALUE", help="its parameters")
    check.add_argument(
        "--limit-s",
        type=number,
        default=300.0,
        metavar="SECONDS",
        help="time limit of the check (default: 300)",
    )
    report = _add(
        tools,
        "report",
        "report.report",
        "compare the planners of a sweep: tables, figures, one page",
        "Compares the planners of a sweep or a comparison, or describes a single run. Prints "
        "tables, and writes figures, Parquet files and an HTML page to DIR/report.",
    )
    report.add_argument(
        "directory", type=Path, metavar="DIR", help="directory of a run, a comparison or a sweep"
    )
    every_row = "print every row of the table of a run, including zeros and details"
    report.add_argument("--all", action="store_true", help=every_row)
    explain = _add(
        tools,
        "explain",
        "explain.explain",
        "explain why a query got its plan, and how the plan performed",
        "Shows what was profiled for a query, what the planner believed about its plans and what "
        "was true, which plans were ordered or refused and why, and how they performed. Exit "
        "status: 0, or 2 for bad input.",
    )
    explain.add_argument("run", type=Path, metavar="RUN", help="directory of one planner's run")
    explain.add_argument("query", metavar="QUERY", help="number of the query, from 0 by arrival")
    explain.add_argument("--figure", type=Path, metavar="OUT.png", help="also draw a figure")
    rows = f"most rows per table; 0 for all ({MOST_ROWS})"
    explain.add_argument("--rows", type=whole, default=MOST_ROWS, metavar="N", help=rows)
    add_regret(_add, tools, rows)
    trace = _add(
        tools,
        "trace",
        "explain.trace",
        "write the requests of a run as a trace for Perfetto and as a picture",
        "Writes trace.json, which ui.perfetto.dev opens, and trace.png to the directory of a run. "
        "The run must have been simulated with requests=true.",
    )
    trace.add_argument("directory", type=Path, metavar="DIR", help="directory of a run")
    trace.add_argument("--planner", metavar="NAME", help="planner, if DIR has a comparison")
    for name, default, which in (("from", 0.0, "first"), ("to", math.inf, "last")):
        shown = f"{which} simulated second ({'0' if default == 0 else 'the end'})"
        trace.add_argument(
            f"--{name}", dest=f"{name}_s", type=number, default=default, metavar="S", help=shown
        )
    trace.add_argument(
        "--query",
        type=whole,
        action="append",
        default=[],
        metavar="N",
        help="number of a query to show; may be repeated (all queries)",
    )
    agree = _add(
        tools,
        "agree",
        "checks.agree",
        "check that two data planes give the same results",
        "Runs a scenario on the event data plane, which is the reference, and on another one. "
        "Compares every request to the nanosecond and every row of every table. The other data "
        "plane is blocks, unless an override names one. Exit status: 0 if they agree; 1 at the "
        "first difference, which is printed; 2 for bad input.",
    )
    _add_overrides(agree, ", such as experiment=speech_small planner=greedy seed=3")
    list_ = tools.add_parser("list", help="list the options of each configuration group")
    list_.set_defaults(tool=_list_options)


def _add_tools_on_hardware(tools: Any) -> None:
    tables = _add(
        tools, "tables", "tables.tables", "list the tables of the hardware models, or show one"
    )
    tables.add_argument("name", nargs="?", help="table to show")
    tables.add_argument("--csv", type=Path, metavar="OUT", help="write the table to a CSV file")
    accelerator = _add(
        tools,
        "accelerator",
        "tables.accelerator",
        "check the file of an accelerator, and show its times, partitions and prices",
        "Checks the file of an accelerator and shows its predicted times, partitions and prices, "
        "and the assumptions behind them. For a file of the package in a checkout, also updates "
        "docs/evidence/validation.md. Exit status: 0 if the file is valid, 2 if not.",
    )
    accelerator.add_argument("file", type=Path, metavar="BOARD.toml", help="file to check")
    _add_calibrate_and_import(tools)
    fit = _add(tools, "fit", "tables.fit", "repeat the fits of the hardware models")
    fit.add_argument("names", nargs="*", metavar="NAME", help="fits to repeat (all)")
    fit.add_argument("--out", type=Path, metavar="DIR", help="output directory (package data)")
    validate = _add(
        tools,
        "validate",
        "tables.validate",
        "compare the predictions of the hardware models with measured rows",
        "Predicts measured rows with the hardware models and prints the errors. Exit status: 0 if "
        "they are within the thresholds, 1 if not, 2 for bad input.",
    )
    validate.add_argument("rows", type=Path, help="CSV or Parquet file with the columns of a table")
    validate.add_argument("--table", help="name of the table; by default inferred from the columns")
    validate.add_argument(
        "--merge",
        action="append",
        default=[],
        metavar="TABLE=FILE",
        help="merge rows of your own into a table that predictions use; may be repeated",
    )
    for name in ("median", "p90"):
        validate.add_argument(
            f"--threshold-{name}",
            type=number,
            default=math.inf,
            metavar="PCT",
            help=f"largest allowed {name} of the absolute error, in percent (no limit)",
        )
    validate.add_argument("--parquet", type=Path, metavar="OUT", help="write all predictions")
    validate.add_argument("--figure", type=Path, metavar="OUT.png", help="draw the predictions")
    validate.add_argument(
        "--worst", type=whole, default=5, metavar="N", help="number of worst rows to list (5)"
    )
    page = _add(
        tools,
        "validation-page",
        "tables.validation_page",
        "write the page on the accuracy of the hardware models",
    )
    place = Path("docs/evidence/validation.md")
    page.add_argument("--out", type=Path, default=place, help=f"file of the page ({place})")
    page.add_argument("--figures", action="store_true", help="also draw its figures (slow)")


def _add_calibrate_and_import(tools: Any) -> None:
    calibrate = _add(
        tools,
        "calibrate",
        "tables.calibrate",
        "measure an operator on this machine, as rows of a table, or a pipeline from observations",
        "Times batches of an operator by the wall clock. Writes the median for each batch size "
        "with an order-statistic interval, because latencies have a long tail and the interval "
        "assumes no distribution. With --observations and --out, makes the tables of a served "
        "pipeline from what compass-lab observe wrote, and an application to simulate.",
    )
    operator = calibrate.add_mutually_exclusive_group(required=True)
    operator.add_argument(
        "--callable",
        metavar="MODULE:FUNCTION",
        help="function(batch: int) that runs one batch and returns when it is done; on a GPU, it "
        "must wait for the device, for example by torch.cuda.synchronize()",
    )
    operator.add_argument(
        "--command",
        metavar="'PROGRAM ... {batch}'",
        help="command line that runs one batch; its start-up is timed too",
    )
    observations = "directories of observations of one pipeline on one host"
    operator.add_argument("--observations", type=Path, nargs="+", metavar="DIR", help=observations)
    table = "gpu_latency or device_latency (gpu_latency)"
    calibrate.add_argument("--table", default="gpu_latency", help=table)
    calibrate.add_argument("--batches", default="1", help="batch sizes, such as 1,2,4,8 (1)")
    import_ = _add(
        tools,
        "import",
        "imports.import_",
        "import measurements of other tools as rows of a table, or as an observation",
        "FORMAT is perf-analyzer (CSV of Triton perf_analyzer -f), vllm-bench (JSON of "
        "vllm bench serve --save-result), mlperf-loadgen (mlperf_log_summary.txt) or otel-spans "
        "(OTLP JSON of OpenTelemetry).",
    )
    import_.add_argument("format", metavar="FORMAT", help="format of the file")
    words = "file to import; several are taken together"
    import_.add_argument("files", type=Path, nargs="+", metavar="FILE", help=words)
    for each in (calibrate, import_):
        each.add_argument("--model", help="name of the operator")
        each.add_argument("--gpu", help="name of the GPU board")
        each.add_argument("--slices", type=whole, help="compute slices (the whole board)")
        each.add_argument("--processes", type=whole, default=1, help="simultaneous processes (1)")
    calibrate.add_argument("--device", help="name of the device, for table device_latency")
    calibrate.add_argument("--backend", default="cpu", help="backend on the device (cpu)")
    calibrate.add_argument("--threads", type=whole, default=1, help="threads on the device (1)")
    calibrate.add_argument("--warmup", type=whole, default=3, help="untimed batches at first (3)")
    calibrate.add_argument(
        "--repeats", type=whole, default=10, help="timed batches per process (10)"
    )
    calibrate.add_argument(
        "--confidence", type=number, default=0.95, help="confidence of the interval (0.95)"
    )
    words = "batch size, or one for each file by commas, if the files do not state it"
    import_.add_argument("--batch", type=wholes, metavar="N", help=words)
    import_.add_argument("--tensor-parallel", type=whole, default=1, help="boards per LLM (1)")
    add_served(import_)
    for each in (calibrate, import_):
        each.add_argument("--out", type=Path, metavar="ROWS.csv", help="file to write (the screen)")
        each.add_argument("--append", action="store_true", help="add to the file if it exists")
        each.add_argument("--source", help="source to record in the rows")
        each.add_argument("--source-url", metavar="https://...", help="address of the source")


def _add_what_if(tools: Any) -> None:
    capacity = _add(
        tools,
        "capacity",
        "what_if.capacity",
        "find the cheapest machines that reach a target",
        "Finds the combination of values whose machines are cheapest and reach a target. Each "
        "combination is simulated on more and more seeds, until the verdict has the given "
        "confidence. More machines are assumed not to serve worse. planner=NAME chooses the "
        "planner; the default is that of the experiment, or cheapest_feasible. Finished runs are "
        "kept and reused. Exit status: 0 if a combination suffices; 1 if none does; 2 for bad "
        "input.",
    )
    _add_question(
        capacity,
        "KEY=VALUES",
        "a key and its values, such as cluster.nodes.cloud.count=range(1,9) or "
        "cluster.nodes.cloud.machine=a2-highgpu-1g,g2-standard-8; may be repeated",
        required=True,
    )
    target = capacity.add_mutually_exclusive_group(required=True)
    for option, limit in (("--at-least", "lowest"), ("--at-most", "highest")):
        words = f"{limit} allowed mean of the metric, in its unit; shares are from 0 to 1"
        target.add_argument(option, type=number, metavar="X", help=words)
    capacity.add_argument(
        "--confidence", type=number, default=0.95, help="confidence of each verdict (0.95)"
    )
    _add_effort(
        capacity,
        (20, "most seeds per combination (20)"),
        "most simultaneous runs (one per core); a combination's new seeds run in parallel",
        Path("outputs") / "capacity",
    )
    sensitivity = _add(
        tools,
        "sensitivity",
        "what_if.sensitivity",
        "rank assumptions by their effect on an answer",
        "Varies each assumption alone, low and high, on the same seeds as the base, and ranks the "
        "assumptions by their effect on the answer. The answer is a metric of the planner, or its "
        "difference from another planner's. planner=NAME chooses the planner; the default is that "
        "of the experiment, or cheapest_feasible. Finished runs are kept and reused.",
    )
    _add_question(
        sensitivity,
        "KEY=LOW,HIGH",
        "an assumption and exactly two values, such as workload.rate=0.08,0.125; may be repeated; "
        "the documentation lists the default assumptions",
    )
    sensitivity.add_argument(
        "--against",
        metavar="planner=NAME",
        help="another planner; the answer is then the difference from it",
    )
    _add_effort(
        sensitivity,
        (5, "number of seeds (5)"),
        "most simultaneous runs (one per core)",
        Path("outputs") / "sensitivity",
    )


def _add_atlas(tools: Any) -> None:
    atlas = _add(
        tools,
        "atlas",
        "atlas.atlas",
        "find out which planner is best in which regime",
        "Runs planners in cells that fill the space of loads, machines, links, content, latency "
        "bounds, profiling and drift, on more and more seeds until each cell has a winner or a "
        "tie. Writes one table, pictures and a decision tree in words. The same command extends "
        "an interrupted atlas. Exit status: 0; 1 if a cell failed; 2 for bad input.",
    )
    words = "number of cells (500)"
    atlas.add_argument("--cells", type=whole, default=500, metavar="N", help=words)
    words = "stop after this many hours; the same command continues (no limit)"
    atlas.add_argument("--hours", type=number, default=math.inf, metavar="H", help=words)
    words = "planners to compare, by commas (the main ones)"
    atlas.add_argument("--planners", metavar="NAMES", help=words)
    words = "place another planner, by its name or class, in a finished atlas"
    atlas.add_argument("--place", metavar="PLANNER", help=words)
    words = "find the smallest change of the default scene that reverses each pair of planners"
    atlas.add_argument("--reversals", action="store_true", help=words)
    words = "rerun N random cells at full length, and compare verdicts"
    atlas.add_argument("--rerun", type=whole, metavar="N", help=words)
    words = "seed of the design (0)"
    atlas.add_argument("--design-seed", type=whole, default=0, metavar="N", help=words)
    words = "parallel cells (one per core)"
    atlas.add_argument("--jobs", type=whole, metavar="N", help=words)
    out = Path("outputs") / "atlas"
    atlas.add_argument("--out", type=Path, default=out, help=f"directory of results ({out})")


def _add_overrides(tool: ArgumentParser, example: str = "") -> None:
    """Add arguments for overrides and a configuration directory; `example` extends the help."""
    words = f"overrides as for compass-sim{example}"
    tool.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=words)
    words = "directory of your own configuration files, such as DIR/experiment/mine.yaml"
    tool.add_argument("--config-dir", metavar="DIR", help=words)
    words = "let configuration files name classes of MODULE, which is imported and run"
    tool.add_argument(
        "--allow-import", action="append", default=[], metavar="MODULE", help=f"{words}; repeatable"
    )


def _add_question(tool: ArgumentParser, varied: str, about: str, required: bool = False) -> None:
    """Add the arguments that define a what-if question: overrides, varied keys and a metric."""
    _add_overrides(tool)
    tool.add_argument(
        "--vary", action="append", default=[], required=required, metavar=varied, help=about
    )
    metric = "slo_met_fraction"
    tool.add_argument("--metric", default=metric, help=f"a number of the summary ({metric})")


def _add_effort(tool: ArgumentParser, seeds: tuple[int, str], jobs: str, out: Path) -> None:
    """Add the arguments for seeds, parallel runs and the directory of results."""
    tool.add_argument("--seeds", type=whole, default=seeds[0], metavar="N", help=seeds[1])
    tool.add_argument("--jobs", type=whole, metavar="N", help=jobs)
    tool.add_argument("--out", type=Path, default=out, help=f"directory of results ({out})")


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
