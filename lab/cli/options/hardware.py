"""The options of the tools on the tables of the hardware models."""

import math
from pathlib import Path
from typing import Any

from lab.cli.arguments import Add, number, whole
from lab.cli.options.serving import add_served, wholes


def add_tools_on_hardware(add: Add, tools: Any) -> None:
    """Add the tools on hardware models; `add` makes the parser of a tool."""
    tables = add(
        tools, "tables", "tables.tables", "list the tables of the hardware models, or show one"
    )
    tables.add_argument("name", nargs="?", help="table to show")
    tables.add_argument("--csv", type=Path, metavar="OUT", help="write the table to a CSV file")
    accelerator = add(
        tools,
        "accelerator",
        "tables.accelerator",
        "check the file of an accelerator, and show its times, partitions and prices",
        "Checks the file of an accelerator and shows its predicted times, partitions and prices, "
        "and the assumptions behind them. For a file of the package in a checkout, also updates "
        "docs/evidence/validation.md. Exit status: 0 if the file is valid, 2 if not.",
    )
    accelerator.add_argument("file", type=Path, metavar="BOARD.toml", help="file to check")
    _add_calibrate_and_import(add, tools)
    fit = add(tools, "fit", "tables.fit", "repeat the fits of the hardware models")
    fit.add_argument("names", nargs="*", metavar="NAME", help="fits to repeat (all)")
    fit.add_argument("--out", type=Path, metavar="DIR", help="output directory (package data)")
    validate = add(
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
    page = add(
        tools,
        "validation-page",
        "tables.validation_page",
        "write the page on the accuracy of the hardware models",
    )
    place = Path("docs/evidence/validation.md")
    page.add_argument("--out", type=Path, default=place, help=f"file of the page ({place})")
    page.add_argument("--figures", action="store_true", help="also draw its figures (slow)")


def _add_calibrate_and_import(add: Add, tools: Any) -> None:
    calibrate = add(
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
    import_ = add(
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
