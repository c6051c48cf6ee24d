"""The options of ``compass-lab import`` for tables of served pipelines, and for spans."""

import argparse
from pathlib import Path

from lab.cli.arguments import ArgumentParser, whole


def wholes(text: str) -> list[int]:
    """Return the whole numbers that an option has, by commas."""
    return [whole(word) for word in text.split(",")]


def pair(text: str) -> tuple[str, str]:
    """Return the two parts of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"={text}: must have the form NAME=VALUE")
    return name, value


def add_served(import_: ArgumentParser) -> None:
    """Add the options."""
    words = "write tables of a served pipeline to DIR instead of rows (perf-analyzer, vllm-bench)"
    import_.add_argument("--served", type=Path, metavar="DIR", help=words)
    spans = import_.add_argument_group("otel-spans, which writes an observation to --out DIR")
    words = "the spans of an operator, in the order of a request; repeatable (the leaf spans)"
    spans.add_argument(
        "--operator", type=pair, action="append", default=[], metavar="NAME=SPAN", help=words
    )
    words = (
        "attribute of a span or resource that tells the size of a batch (batch.size), the replica "
        "(service.instance.id) or the queueing in seconds (queueing_s); repeatable"
    )
    spans.add_argument(
        "--attribute", type=pair, action="append", default=[], metavar="PART=NAME", help=words
    )
    words = "cores that the operators share (each replica has one of its own)"
    spans.add_argument("--cores", type=whole, metavar="N", help=words)
