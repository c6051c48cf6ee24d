"""The options of the tools of ``compass-lab`` on services that really run."""

import argparse
from pathlib import Path
from typing import Any

from lab.cli.arguments import Add, ArgumentParser, number, whole
from lab.common.errors import InputError

OF_OBSERVATIONS = ("observations", "out")
"""The options of ``calibrate`` that go together with ``--observations``."""
SEEDS = 5


def add_observe(add: Add, tools: Any) -> None:
    """Add the tool ``observe``; `add` makes the parser of a tool."""
    observe = add(
        tools,
        "observe",
        "serving.observe",
        "send a load to a real service, and write down each request",
        "Starts a pipeline on this machine by Ray Serve, or takes a running service, and sends "
        "requests at scheduled times, whatever the answers do. Writes each request with its "
        "latency from the scheduled time, its time at each operator and its answer, and the "
        "machine's noise. Serving needs the extra [serve].",
    )
    observe.add_argument(
        "target",
        metavar="PIPELINE|URL",
        help="name of a shipped pipeline (document_reading), YAML file of a pipeline, or address "
        "of a service: http://host:port/path or grpc://host:port/package.Service/Method",
    )
    words = "keys of the pipeline to set, such as operators.detect.max_batch=4"
    observe.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=words)
    observe.add_argument("--rate", type=number, required=True, metavar="R", help="requests/s")
    words = "number of requests"
    observe.add_argument("--requests", type=whole, required=True, metavar="N", help=words)
    words = "poisson, azure_llm_2023_conversation, azure_llm_2023_code, or a CSV file (poisson)"
    observe.add_argument("--arrivals", default="poisson", metavar="NAME", help=words)
    words = "seed of the arrivals and of what is sent (0)"
    observe.add_argument("--seed", type=whole, default=0, metavar="S", help=words)
    words = "directory to write; it must not have an observation"
    observe.add_argument("--out", type=Path, required=True, metavar="DIR", help=words)
    words = "address of a running service of the pipeline, which is then not started here"
    observe.add_argument("--endpoint", metavar="URL", help=words)
    words = "directory of files to send, in the order of their names (the pipeline's own requests)"
    observe.add_argument("--payloads", type=Path, metavar="DIR", help=words)
    words = "longest time to wait for an answer; the request is then lost (60)"
    observe.add_argument("--timeout-s", type=number, default=60.0, metavar="SECONDS", help=words)
    words = "requests that are sent one by one before, and not recorded (10)"
    observe.add_argument("--warm-up", type=whole, default=10, metavar="N", help=words)
    words = "port of the service that is started here (a free one)"
    observe.add_argument("--port", type=whole, metavar="N", help=words)
    words = "let the pipeline's file name classes of MODULE, which is imported and run; repeatable"
    observe.add_argument(
        "--allow-import", action="append", default=[], metavar="MODULE", help=words
    )


def add_predict_and_compare(add: Add, tools: Any) -> None:
    """Add the tools ``predict`` and ``compare``; `add` makes the parser of a tool."""
    predict = add(
        tools,
        "predict",
        "predicting.predict",
        "simulate the requests of an observation, from calibrated tables",
        "Simulates a served pipeline under the arrivals of an observation. Execution times are "
        "drawn from the tables that compass-lab calibrate --observations wrote, several times.",
    )
    words = "directory of an observation; its arrivals are used, and how its pipeline was served"
    predict.add_argument("directory", type=Path, metavar="DIR", help=words)
    words = "directory of the tables"
    predict.add_argument("--tables", type=Path, required=True, metavar="TABLES", help=words)
    words = "directory to write; it must not have a prediction"
    predict.add_argument("--out", type=Path, required=True, metavar="DIR2", help=words)
    words = "let the arrivals come X times as fast (1)"
    predict.add_argument("--load-factor", type=number, default=1.0, metavar="X", help=words)
    words = "OPERATOR.replicas, OPERATOR.max_batch or OPERATOR.max_wait_s to predict instead"
    predict.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=words)
    compare = add(
        tools,
        "compare",
        "predicting.compare",
        "compare observations with their predictions, the worst first",
        "Prints percentiles of latency, throughput and goodput of each cell, observed and "
        "predicted. Observations of one pipeline under one load form a cell; their difference is "
        "the floor, because reality repeats itself no more closely.",
    )
    words = "directories of observations; two of equal arrivals give the floor"
    compare.add_argument("directories", type=Path, nargs="+", metavar="DIR", help=words)
    source = compare.add_mutually_exclusive_group(required=True)
    words = "predict from these tables"
    source.add_argument("--tables", type=Path, metavar="TABLES", help=words)
    words = "a prediction that compass-lab predict wrote"
    source.add_argument("--predicted", type=Path, metavar="DIR2", help=words)
    words = "latency within which a request counts for goodput"
    compare.add_argument("--bound-s", type=number, required=True, metavar="S", help=words)
    words = "also write the rows to a CSV file"
    compare.add_argument("--csv", type=Path, metavar="OUT.csv", help=words)
    for each in (predict, compare):
        words = f"number of draws of the execution times, which are pooled ({SEEDS})"
        each.add_argument("--seeds", type=whole, default=SEEDS, metavar="N", help=words)


def check_alone(options: argparse.Namespace) -> None:
    """Raise InputError if an option of ``calibrate`` was given that observations do not need."""
    default = options.parsed_by.get_default
    for name, value in vars(options).items():
        if name not in OF_OBSERVATIONS and value != default(name):
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option}: cannot be combined with --observations")
    if options.out is None:
        raise InputError("--out is missing: name a directory for the tables")


def wholes(text: str) -> list[int]:
    """Return the whole numbers that an option has, by commas."""
    return [whole(word) for word in text.split(",")]


def add_served(import_: ArgumentParser) -> None:
    """Add the options of ``import`` for tables of served pipelines, and for spans."""
    words = "write tables of a served pipeline to DIR instead of rows (perf-analyzer, vllm-bench)"
    import_.add_argument("--served", type=Path, metavar="DIR", help=words)
    spans = import_.add_argument_group("otel-spans, which writes an observation to --out DIR")
    words = "the spans of an operator, in the order of a request; repeatable (the leaf spans)"
    spans.add_argument("--operator", action="append", default=[], metavar="NAME=SPAN", help=words)
    words = (
        "attribute of a span or resource that tells the size of a batch (batch.size), the replica "
        "(service.instance.id) or the queueing in seconds (queueing_s); repeatable"
    )
    spans.add_argument("--attribute", action="append", default=[], metavar="PART=NAME", help=words)
    words = "cores that the operators share (each replica has one of its own)"
    spans.add_argument("--cores", type=whole, metavar="N", help=words)
