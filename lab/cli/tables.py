"""Those tools of ``compass-lab`` that deal with hardware: tables, accelerators, fits."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError, check_png, choices

if TYPE_CHECKING:
    import polars as pl

    from hardware_models.tables import UserTable
    from lab.hardware_tools.measured_rows import Output
    from lab.hardware_tools.validation import Validation

OK, FAILED, REFUSED = 0, 1, 2
PAGE = Path("docs/evidence/validation.md")
MOST_REFUSED = 20
PERCENTS = ("median_pct", "p90_pct", "worst_pct")
_PRINTED = dict.fromkeys(PERCENTS, "{:.1f}".format)
ERROR_COLUMNS = ("target", "group", "scheme", "n", "refused", *PERCENTS, "worst_cell")
TOOLS = ("tables", "accelerator", "calibrate", "import", "fit", "validate", "validation-page")


def add_parser(tools: Any) -> None:
    """Add the parsers of these tools to the subparsers of ``compass-lab``."""
    tables_ = tools.add_parser("tables", help="list the tables of the hardware models, or show one")
    tables_.add_argument("name", nargs="?", help="the table to show")
    tables_.add_argument("--csv", type=Path, metavar="OUT", help="write it to a CSV file")
    tables_.set_defaults(tool=tables)
    accelerator_ = tools.add_parser(
        "accelerator",
        help="check the file of an accelerator, and show what follows from it",
        description="Exit status: 0 if the file is fine, 2 if not. For a file of the package in a "
        "checkout, writes docs/evidence/validation.md anew.",
    )
    accelerator_.add_argument("file", type=Path, metavar="BOARD.toml")
    accelerator_.set_defaults(tool=accelerator)
    _add_calibrate(tools)
    _add_import(tools)
    fit_ = tools.add_parser("fit", help="fit the hardware models to their tables anew")
    fit_.add_argument("names", nargs="*", metavar="NAME", help="the fits; all by default")
    fit_.add_argument("--out", type=Path, metavar="DIR", help="by default, the package's own data")
    fit_.set_defaults(tool=fit)
    _add_validate(tools)
    page = tools.add_parser("validation-page", help="write the page on how good the fits are")
    page.add_argument("--out", type=Path, default=PAGE)
    page.add_argument("--figures", action="store_true", help="draw its figures too (slow)")
    page.set_defaults(tool=validation_page)


def _add_calibrate(tools: Any) -> None:
    parser = tools.add_parser(
        "calibrate",
        help="measure an operator on this machine, as rows of a table",
        description="Times batches of an operator by the wall clock and writes the median of each "
        "size with an order-statistic interval: latencies have a long tail, which a mean follows "
        "and a median does not, and the interval supposes no distribution.",
    )
    operator = parser.add_mutually_exclusive_group(required=True)
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
    parser.add_argument("--table", default="gpu_latency", help="gpu_latency or device_latency")
    parser.add_argument("--batches", default="1", help="batch sizes, such as 1,2,4,8")
    _add_given(parser)
    parser.add_argument("--device", help="the device (table device_latency)")
    parser.add_argument("--backend", default="cpu", help="what runs the operator there")
    parser.add_argument("--threads", type=int, default=1, help="with how many threads")
    parser.add_argument("--warmup", type=int, default=3, help="untimed batches before (3)")
    parser.add_argument("--repeats", type=int, default=10, help="timed batches, of each process")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the interval (0.95)")
    _add_output(parser)
    parser.set_defaults(tool=calibrate)


def _add_import(tools: Any) -> None:
    parser = tools.add_parser(
        "import",
        help="read what other tools measured into rows of a table",
        description="FORMAT is perf-analyzer (CSV of Triton perf_analyzer -f), vllm-bench (JSON of "
        "vllm bench serve --save-result) or mlperf-loadgen (mlperf_log_summary.txt).",
    )
    parser.add_argument("format", metavar="FORMAT")
    parser.add_argument("file", type=Path)
    _add_given(parser)
    parser.add_argument("--batch", type=int, help="the batch size, where the file does not say it")
    parser.add_argument("--tensor-parallel", type=int, default=1, help="boards for one LLM (1)")
    _add_output(parser)
    parser.set_defaults(tool=import_)


def _add_given(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="the operator")
    parser.add_argument("--gpu", help="the board")
    parser.add_argument("--slices", type=int, help="its compute slices (those of a whole one)")
    parser.add_argument("--processes", type=int, default=1, help="how many at the same time (1)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="ROWS.csv", help="instead of the screen")
    parser.add_argument("--append", action="store_true", help="add to the file if it exists")
    parser.add_argument("--source", help="what to name as the source of the rows")
    parser.add_argument("--source-url", metavar="https://...", help="where they are published")


def _add_validate(tools: Any) -> None:
    parser = tools.add_parser(
        "validate",
        help="predict measured rows by the hardware models, and compare",
        description="Exit status: 0 within the thresholds, 1 beyond, 2 for bad input.",
    )
    parser.add_argument("rows", type=Path, help="CSV or Parquet file with the columns of a table")
    parser.add_argument("--table", help="the table; by default found by its columns")
    parser.add_argument(
        "--merge",
        action="append",
        default=[],
        metavar="TABLE=FILE",
        help="predict with rows of your own merged into a table",
    )
    for name in ("median", "p90"):
        parser.add_argument(
            f"--threshold-{name}",
            type=float,
            default=math.inf,
            metavar="PCT",
            help=f"allowed {name} of the absolute error over all rows, in percent",
        )
    parser.add_argument("--parquet", type=Path, metavar="OUT", help="write every prediction")
    parser.add_argument("--figure", type=Path, metavar="OUT.png", help="draw them")
    parser.add_argument("--worst", type=int, default=5, metavar="N", help="rows to list (5)")
    parser.set_defaults(tool=validate)


def tables(options: argparse.Namespace) -> int:
    """List the tables, or print or write one of them."""
    from hardware_models.schemas import PROVENANCE, SCHEMAS
    from hardware_models.tables import load_table
    from lab.common.console import say

    if options.name is None and options.csv is not None:
        raise InputError(f"--csv={options.csv}: name the table that it is to hold")
    if options.name is None:
        listed = []
        for name in SCHEMAS:
            table = load_table(name)
            columns = [one for one in table.columns if one not in PROVENANCE]
            kinds = table["kind"].unique(maintain_order=True)
            listed.append((name, f"{table.height:,}", ", ".join(kinds), ", ".join(columns)))
        _show(("table", "rows", "kinds", f"columns, besides {', '.join(PROVENANCE)}"), listed)
        return OK
    text = load_table(options.name).write_csv()
    if options.csv is None:
        say(text.rstrip("\n"))
    else:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        options.csv.write_text(text, encoding="utf-8")
    return OK


def accelerator(options: argparse.Namespace) -> int:
    """Check the file of an accelerator; print its times, its partitions and its assumptions."""
    from hardware_models.accelerators import AcceleratorError
    from lab.common.console import say
    from lab.hardware_tools.accelerator import Findings, find

    try:
        found: Findings = find(options.file)
    except AcceleratorError as error:
        for sentence in error.sentences:
            print(f"compass-lab: {sentence}", file=sys.stderr)
        return REFUSED
    for table in found.tables:
        _show(table.heads, table.rows, table.title)
    say(f"what rests on assumptions, {len(found.assumptions)}:")
    for assumption in found.assumptions:
        say(f"  {assumption}")
    say(f"use it: {found.command}")
    if found.shipped and PAGE.exists():
        from lab.hardware_tools.validation_page import page

        PAGE.write_text(page(), encoding="utf-8")
        say(f"wrote {PAGE}, which names every source and assumption")
    return OK


def calibrate(options: argparse.Namespace) -> int:
    """Time an operator; write or print the rows."""
    from lab.hardware_tools.calibration import Operator, Protocol, measure
    from lab.hardware_tools.measured_rows import Given, calibrated_rows, check_calibration

    kind = "callable" if options.callable else "command"
    operator = Operator(kind, getattr(options, kind))
    given = Given(
        model=options.model,
        gpu=options.gpu,
        slices=options.slices,
        processes=options.processes,
        device=options.device,
        backend=options.backend,
        threads=options.threads,
    )
    protocol = Protocol(options.warmup, options.repeats, options.processes, options.confidence)
    batches = _batches(options.batches)
    output = _output(options, f"compass-lab calibrate {operator}")
    check_calibration(options.table, given, batches, protocol, output)
    timings = measure(operator, batches, protocol)
    rows = calibrated_rows(options.table, timings, given, protocol)
    output.write(output.contents(rows, options.table))
    return OK


def import_(options: argparse.Namespace) -> int:
    """Read the results of another tool; write or print the rows."""
    from lab.hardware_tools.importers import IMPORTERS
    from lab.hardware_tools.measured_rows import Given

    importer = IMPORTERS.get(options.format)
    if importer is None:
        raise InputError(f"{options.format}: no such format; {choices(options.format, IMPORTERS)}")
    given = Given(
        model=options.model,
        gpu=options.gpu,
        slices=options.slices,
        processes=options.processes,
        batch=options.batch,
        tensor_parallel=options.tensor_parallel,
    )
    output = _output(options, f"{importer.source}, {options.file.name}")
    output.write(output.contents(importer.read(options.file, given), importer.table))
    return OK


def fit(options: argparse.Namespace) -> int:
    """Fit anew, write coefficients and errors, and print the errors."""
    from importlib.resources import files

    import polars as pl

    from hardware_models.fits.registry import write_fits
    from lab.common.console import say

    directory = options.out or Path(str(files("hardware_models") / "data"))
    written = write_fits(directory, options.names)
    for path in written:
        if path.stem.endswith("_errors"):
            _show_errors(pl.read_csv(path), path.stem)
    for path in written:
        say(f"wrote {path}")
    return OK


def validate(options: argparse.Namespace) -> int:
    """Predict measured rows, and say how far off the predictions are."""
    from hardware_models.predictors import PREDICTORS
    from hardware_models.tables import TableSet, using_tables
    from lab.common.console import say
    from lab.hardware_tools.validation import validate_rows

    for name in ("threshold_median", "threshold_p90", "worst"):
        if not getattr(options, name) >= 0:
            raise InputError(f"--{name.replace('_', '-')}={getattr(options, name)}: must be >= 0")
    if options.figure is not None:
        check_png("--figure", options.figure)
    with using_tables(TableSet(_merged(options.merge))):
        done = validate_rows(options.rows, PREDICTORS, options.table)
    _report(done, options)
    if options.parquet is not None:
        options.parquet.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(options.parquet) as aside:
            done.rows.write_parquet(aside)
        say(f"every prediction: {options.parquet}")
    if options.figure is not None:
        from lab.hardware_tools.validation_figure import draw_validation

        title = f"{options.rows.name} against the models of {done.table}"
        say(f"figure: {draw_validation(done.rows, title, options.figure)}")
    limits = options.threshold_median, options.threshold_p90
    if limits == (math.inf, math.inf):
        return OK
    within = done.within(*limits)
    verdict = "within" if within else "beyond"
    say(f"{verdict} the thresholds: median {limits[0]:g} %, p90 {limits[1]:g} %")
    return OK if within else FAILED


def validation_page(options: argparse.Namespace) -> int:
    """Write the page on how good the fits are."""
    from lab.common.console import say
    from lab.hardware_tools.validation_page import draw_figures, page

    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.figures:
        for path in draw_figures(options.out.parent / "figures"):
            say(f"wrote {path}")
    options.out.write_text(page(), encoding="utf-8")
    say(f"wrote {options.out}")
    return OK


def _merged(pairs: Sequence[str]) -> "dict[str, UserTable]":
    from hardware_models.tables import UserTable

    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--merge={pair}: must be written TABLE=FILE")
    return {name: UserTable(path) for name, _, path in (pair.partition("=") for pair in pairs)}


def _batches(text: str) -> list[int]:
    try:
        batches = [int(word) for word in text.split(",")]
    except ValueError:
        batches = []
    if not batches or min(batches) < 1 or len({*batches}) < len(batches):
        raise InputError(
            f"--batches={text}: must be different whole numbers from 1 up, as in 1,2,4"
        )
    return batches


def _output(options: argparse.Namespace, source: str) -> "Output":
    from lab.hardware_tools.measured_rows import Output

    return Output(options.out, options.append, options.source or source, options.source_url)


def _report(done: "Validation", options: argparse.Namespace) -> None:
    from hardware_models.schemas import SCHEMAS
    from lab.common.console import say
    from lab.hardware_tools.validation import cell

    key = SCHEMAS[done.table].key
    _show_errors(done.groups.vstack(done.overall), f"{options.rows.name}: table {done.table}")
    worst = done.worst(options.worst)
    if worst.height:
        say(f"the worst {worst.height}:")
        for row in worst.iter_rows(named=True):
            say(
                f"  {row['ape_pct']:.1f} %: {row['target']} measured {row['measured']:g}, "
                f"predicted {row['predicted']:g} at {cell(row, key)}"
            )
    if done.refused.height:
        say(f"refused by the models, {done.refused.height}:")
        for row in done.refused.head(MOST_REFUSED).iter_rows(named=True):
            say(f"  {row['target']} at {cell(row, key)}")
        if done.refused.height > MOST_REFUSED:
            say(f"  and {done.refused.height - MOST_REFUSED} more; --parquet writes all of them")
    if done.unkept:
        say(f"no rows of table {done.table}, {done.unkept}; the first: {done.unkept_first}")
    if done.unspoken:
        say(f"without a figure that a prediction speaks of: {done.unspoken}")
    if done.known:
        say(
            f"{done.known} of these figures are rows of the tables in use: that they are met says "
            f"nothing of rows that are not"
        )


def _show_errors(errors: "pl.DataFrame", title: str) -> None:
    """Print errors: a row for each group, percentages to one digit."""
    names = [name for name in ERROR_COLUMNS if name in errors.columns]
    rows = [
        ["" if value is None else _PRINTED.get(name, str)(value) for name, value in row.items()]
        for row in errors.select(names).iter_rows(named=True)
    ]
    heads = [name.replace("_pct", ", %").replace("_", " ") for name in names]
    _show(heads, rows, title)


def _show(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    from rich.table import Table

    from lab.common.console import console

    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
