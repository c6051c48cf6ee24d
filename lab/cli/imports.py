"""``compass-lab import``: rows of tables, tables of served pipelines, and observations."""

import argparse
from dataclasses import replace
from pathlib import Path

import polars as pl

from lab.cli.arguments import named_values
from lab.cli.tables import given_of, output_of
from lab.common.atomic_write import written_aside
from lab.common.console import say, warn
from lab.common.errors import InputError, choices
from lab.hardware_tools.importers import IMPORTERS
from lab.hardware_tools.measured_rows import Given

OK = 0
SPANS = "otel-spans"
PERF_ANALYZER, VLLM = "perf-analyzer", "vllm-bench"
SERVED = (PERF_ANALYZER, VLLM)
OF_SPANS = ("operator", "attribute", "cores")


def import_(options: argparse.Namespace) -> int:
    """Read the results of another tool; write or print what they give."""
    importer = IMPORTERS.get(options.format)
    if options.format == SPANS:
        return _spans(options)
    if importer is None:
        known = [*IMPORTERS, SPANS]
        raise InputError(f"{options.format}: no such format; {choices(options.format, known)}")
    for name in OF_SPANS:
        if getattr(options, name):
            raise InputError(f"--{name}: is for {SPANS} only; the format is {options.format}")
    given = _given_of_files(options)
    if options.served is not None:
        return _served(options, given)
    names = ", ".join(file.name for file in options.files)
    output = output_of(options, f"{importer.source}, {names}")
    rows = [importer.read(file, one) for file, one in zip(options.files, given, strict=True)]
    output.write(output.contents(pl.concat(rows, how="vertical_relaxed"), importer.table))
    return OK


def _given_of_files(options: argparse.Namespace) -> list[Given]:
    """Return what the user tells of each file; the batch size can be another one in each."""
    files, batches = options.files, options.batch or [None]
    if len(batches) not in (1, len(files)):
        raise InputError(
            f"--batch={','.join(map(str, batches))}: must have one batch size, or one for each of "
            f"the {len(files)} files"
        )
    batches = batches * len(files) if len(batches) == 1 else batches
    options.batch = None
    return [replace(given_of(options), batch=batch) for batch in batches]


def _served(options: argparse.Namespace, given: list[Given]) -> int:
    from lab.serving.importers.tables import ARRIVALS, added, perf_analyzer_tables, vllm_tables
    from lab.serving.predicting.service_tables import TIMES, ServiceTables

    directory, arrivals = options.served, None
    if options.format not in SERVED:
        raise InputError(f"--served: only {' and '.join(SERVED)} have what these tables need")
    if options.out is not None:
        raise InputError(f"--out={options.out}: --served={directory} is written instead of rows")
    there = (directory / f"{TIMES}.csv").exists()
    if there and not options.append:
        raise InputError(
            f"--served={directory}: has tables already; name another directory or add --append"
        )
    if options.format == PERF_ANALYZER:
        for one in given:
            one.need("model", "batch")
        reports = [
            (file, int(one.batch or 1)) for file, one in zip(options.files, given, strict=True)
        ]
        tables = perf_analyzer_tables(reports, str(given[0].model), given[0].processes)
    else:
        if len({one.batch for one in given}) > 1:
            raise InputError("--batch: must be one batch size for all files of vllm-bench")
        tables, arrivals = vllm_tables(options.files, given[0].model, given[0].batch)
    operators = tables[TIMES]["operator"].unique(maintain_order=True)
    if there:
        tables = added(ServiceTables.read(directory), tables)
    tables.write(directory)
    say(f"{directory}: service times of {', '.join(operators)}")
    if arrivals is not None:
        path = directory / f"{ARRIVALS}.csv"
        with written_aside(path) as aside:
            arrivals.write_csv(aside)
        say(f"{path}: {arrivals.height:,} arrivals")
    return OK


def _spans(options: argparse.Namespace) -> int:
    from lab.serving.importers.otlp import read_spans
    from lab.serving.importers.spans import ATTRIBUTES, SpanNames, observation_of_spans
    from lab.serving.observation import check_free

    if options.served is not None:
        raise InputError(
            f"--served={options.served}: {SPANS} writes an observation to --out; make the tables "
            "of it by compass-lab calibrate --served"
        )
    out: Path | None = options.out
    if out is None:
        raise InputError("--out is missing; name the directory of the observation")
    check_free(out)
    operators = named_values("--operator", "NAME=SPAN", options.operator)
    attributes = named_values("--attribute", "PART=NAME", options.attribute)
    names = SpanNames(operators, {**ATTRIBUTES, **attributes}, options.cores)
    source = options.source or ", ".join(file.name for file in options.files)
    found, sentences = observation_of_spans(read_spans(options.files), names, source)
    found.write(out)
    say(f"{out}: {found.requests.height:,} requests of {', '.join(found.operators)}")
    for sentence in sentences:
        warn(sentence)
    return OK
