"""The options of the tools of ``compass-lab`` on services that really run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.cli.arguments import ArgumentParser, number, whole


def add_observe(add: Callable[..., ArgumentParser], tools: Any) -> None:
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
