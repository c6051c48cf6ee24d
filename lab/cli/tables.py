"""The hardware tools of ``compass-lab``: tables, accelerators, measurements and fits.

Models and figures take a second to import, so a tool imports them only if it needs them.
"""

import argparse
import math
import sys
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import polars as pl

from hardware_models.accelerators import AcceleratorError
from hardware_models.schemas import PROVENANCE, SCHEMAS
from hardware_models.tables import TableSet, UserTable, load_table, using_tables
from lab.cli.arguments import named_values
from lab.common.atomic_write import written_aside
from lab.common.console import say, show_rows
from lab.common.errors import InputError, check_png, printable
from lab.hardware_tools.calibration import Protocol, Subject, measure
from lab.hardware_tools.measured_rows import Given, Output, calibrated_rows, check_calibration
from lab.hardware_tools.validation import PERCENTS, Validation, cell, validate_rows

OK, FAILED, REFUSED = 0, 1, 2
PAGE = Path("docs/evidence/validation.md")
MOST_REFUSED = 20
_PRINTED = dict.fromkeys(PERCENTS, "{:.1f}".format)
ERROR_COLUMNS = ("target", "group", "scheme", "n", "refused", *PERCENTS, "worst_cell")


def tables(options: argparse.Namespace) -> int:
    """List the tables of the hardware models, or print or write one of them."""
    if options.name is None and options.csv is not None:
        raise InputError(f"--csv={options.csv}: name the table to write")
    if options.name is None:
        listed = []
        for name in SCHEMAS:
            table = load_table(name)
            columns = [one for one in table.columns if one not in PROVENANCE]
            kinds = table["kind"].unique(maintain_order=True)
            listed.append((name, f"{table.height:,}", ", ".join(kinds), ", ".join(columns)))
        show_rows(("table", "rows", "kinds", f"columns except {', '.join(PROVENANCE)}"), listed)
        return OK
    text = load_table(options.name).write_csv()
    if options.csv is None:
        say(text.rstrip("\n"))
    else:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        options.csv.write_text(text, encoding="utf-8")
    return OK


def accelerator(options: argparse.Namespace) -> int:
    """Check the file of an accelerator; print its times, partitions and assumptions."""
    from lab.hardware_tools.accelerator import find

    try:
        found = find(options.file)
    except AcceleratorError as error:
        for sentence in error.sentences:
            print(f"compass-lab: {printable(sentence)}", file=sys.stderr)
        return REFUSED
    for table in found.tables:
        show_rows(table.heads, table.rows, table.title)
    say(f"assumptions ({len(found.assumptions)}):")
    for assumption in found.assumptions:
        say(f"  {assumption}")
    say(f"to use it: {found.command}")
    if found.shipped and PAGE.exists():
        from lab.hardware_tools.validation_page import page

        PAGE.write_text(page(), encoding="utf-8")
        say(f"wrote {PAGE}, which lists all sources and assumptions")
    return OK


def calibrate(options: argparse.Namespace) -> int:
    """Time an operator; write or print the results as rows of a table."""
    if options.observations is not None:
        from lab.cli import predicting

        return predicting.calibrate(options)
    kind = "callable" if options.callable else "command"
    operator = Subject(kind, getattr(options, kind))
    given = given_of(options)
    protocol = Protocol(options.warmup, options.repeats, options.processes, options.confidence)
    batches = _batches(options.batches)
    output = output_of(options, f"compass-lab calibrate {operator}")
    check_calibration(options.table, given, batches, protocol, output)
    timings = measure(operator, batches, protocol)
    rows = calibrated_rows(options.table, timings, given, protocol)
    output.write(output.contents(rows, options.table))
    return OK


def fit(options: argparse.Namespace) -> int:
    """Repeat fits of hardware models, write coefficients and errors, and print the errors."""
    from hardware_models.fits.registry import write_fits

    directory = options.out or Path(str(files("hardware_models") / "data"))
    written = write_fits(directory, options.names)
    for path in written:
        if path.stem.endswith("_errors"):
            _show_errors(pl.read_csv(path), path.stem)
    for path in written:
        say(f"wrote {path}")
    return OK


def validate(options: argparse.Namespace) -> int:
    """Predict measured rows, and print the errors of the predictions."""
    from hardware_models.predictors import PREDICTORS

    for name in ("threshold_median", "threshold_p90", "worst"):
        if not getattr(options, name) >= 0:
            raise InputError(f"--{name.replace('_', '-')}={getattr(options, name)}: must be >= 0")
    if options.figure is not None:
        check_png("--figure", options.figure)
    merged = named_values("--merge", "TABLE=FILE", options.merge)
    with using_tables(TableSet({name: UserTable(path) for name, path in merged.items()})):
        done = validate_rows(options.rows, PREDICTORS, options.table)
    _report(done, options)
    if options.parquet is not None:
        options.parquet.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(options.parquet) as aside:
            done.rows.write_parquet(aside)
        say(f"all predictions: {options.parquet}")
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
    """Write the page on the accuracy of the fits."""
    from lab.hardware_tools.validation_page import draw_figures, page

    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.figures:
        for path in draw_figures(options.out.parent / "figures"):
            say(f"wrote {path}")
    options.out.write_text(page(), encoding="utf-8")
    say(f"wrote {options.out}")
    return OK


def _batches(text: str) -> list[int]:
    try:
        batches = [int(word) for word in text.split(",")]
    except ValueError:
        batches = []
    if not batches or min(batches) < 1 or len({*batches}) < len(batches):
        raise InputError(
            f"--batches={text}: must be different whole numbers of 1 or more, such as 1,2,4"
        )
    return batches


def given_of(options: argparse.Namespace) -> Given:
    """Return what the user tells of the measurements."""
    names = (one.name for one in fields(Given))
    return Given(**{name: getattr(options, name) for name in names if name in options})


def output_of(options: argparse.Namespace, source: str) -> Output:
    """Return where rows are written, with the source to record in them."""
    return Output(options.out, options.append, options.source or source, options.source_url)


def _report(done: Validation, options: argparse.Namespace) -> None:
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
        say(f"rows that the models cannot predict ({done.refused.height}):")
        for row in done.refused.head(MOST_REFUSED).iter_rows(named=True):
            say(f"  {row['target']} at {cell(row, key)}")
        if done.refused.height > MOST_REFUSED:
            say(f"  and {done.refused.height - MOST_REFUSED} more; --parquet writes all of them")
    if done.invalid:
        say(f"rows not valid in table {done.table}: {done.invalid}; first: {done.first_invalid}")
    if done.unpredicted:
        say(f"rows without a value that can be predicted: {done.unpredicted}")
    if done.known:
        say(
            f"{done.known} of the values are also in the tables in use, so their errors do not "
            "show how well new rows are predicted"
        )


def _show_errors(errors: pl.DataFrame, title: str) -> None:
    """Print a table of errors, one row per group; percentages have one decimal."""
    names = [name for name in ERROR_COLUMNS if name in errors.columns]
    rows = [
        ["" if value is None else _PRINTED.get(name, str)(value) for name, value in row.items()]
        for row in errors.select(names).iter_rows(named=True)
    ]
    heads = [name.replace("_pct", ", %").replace("_", " ") for name in names]
    show_rows(heads, rows, title)
