"""Observes a service: sends it a load, and writes down each request and the machine's noise."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lab.common.errors import InputError
from lab.serving.client import check_endpoint, send_all
from lab.serving.noise import NoiseRecorder
from lab.serving.observation import Observation, request_table
from lab.serving.payloads import Payloads
from lab.serving.pipeline import Pipeline
from lab.serving.ray_service import served
from lab.version import versions
from scenarios.arrivals import ArrivalProcess, Poisson, TraceReplay
from scenarios.random_streams import stream

PACKAGES = ("ray", "onnxruntime", "rapidocr", "pillow", "aiohttp", "grpcio")
POISSON = "poisson"
MOST_REQUESTS = 100_000
FINISHED = "finished"


@dataclass(frozen=True)
class Load:
    """What is sent to a service, and when.

    Args:
        rate_per_s: mean requests per second.
        requests: how many are sent.
        seed: of the arrivals, and of what is sent.
        arrivals: poisson, the name of a shipped trace, or a CSV file of a trace, which is
            stretched to the rate.
        timeout_s: longest time to wait for an answer; the request is then lost.
        warm_up: requests that are sent one by one before, and not recorded.
    """

    rate_per_s: float
    requests: int
    seed: int = 0
    arrivals: str = POISSON
    timeout_s: float = 60.0
    warm_up: int = 10

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rate_per_s", 1e-3, 1e5),
            ("requests", 1, MOST_REQUESTS),
            ("timeout_s", 1e-3, 1e6),
            ("warm_up", 0, MOST_REQUESTS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                option = name.removesuffix("_per_s").replace("_", "-")
                raise InputError(f"--{option}={value}: must be from {low:g} to {high:g}")

    def times_s(self) -> list[float]:
        """Return when each request is sent, in seconds after the first one; shape (requests,).

        A seed gives the same times for each number of requests, as far as both have them.
        """
        process: ArrivalProcess
        process = Poisson() if self.arrivals == POISSON else TraceReplay(self.arrivals)
        horizon_s = 2.0 * self.requests / self.rate_per_s
        try:
            while True:
                rng = stream(self.seed, "serving", "arrivals")
                times = process.times_s(self.rate_per_s, horizon_s, rng)
                if len(times) >= self.requests:
                    return [float(one - times[0]) for one in times[: self.requests]]
                horizon_s *= 2
        except ValueError as error:
            said = re.sub(r"^workload\.arrivals\.path='.*?': ", "", str(error))
            raise InputError(f"--arrivals={self.arrivals}: {said}, or {POISSON}") from None


def observe(pipeline: Pipeline, load: Load, port: int | None = None) -> Observation:
    """Serve a pipeline on this machine, and observe it under a load."""
    times_s = load.times_s()
    with served(pipeline, port) as url:
        return observe_endpoint(url, load, pipeline.payloads, pipeline, times_s)


def observe_endpoint(
    endpoint: str,
    load: Load,
    payloads: Payloads,
    pipeline: Pipeline | None = None,
    times_s: Sequence[float] | None = None,
) -> Observation:
    """Observe a running service under a load.

    Args:
        endpoint: its address.
        load: when to send.
        payloads: what to send.
        pipeline: the pipeline that is served there, as far as it is known.
        times_s: the times of the load, if they are at hand.

    Raises:
        InputError: the service does not answer, or fails at every request.
    """
    check_endpoint(endpoint)
    times_s = load.times_s() if times_s is None else times_s
    numbers = range(load.requests + load.warm_up)
    bodies = [payloads.payload(load.seed, number) for number in numbers]
    main, warm_up = bodies[: load.requests], bodies[load.requests :]
    noise, started = NoiseRecorder(), datetime.now(UTC)
    sent = send_all(endpoint, main, times_s, load.timeout_s, warm_up, [noise.during])
    failures = [one.reply.failure for one in sent if one.reply.body is None]
    if len(failures) == len(sent):
        raise InputError(f"{endpoint}: every request failed, the first by: {failures[0]}")
    scores: list[Mapping[str, float]] = [
        {} if one.reply.body is None else payloads.score(load.seed, number, one.reply.body)
        for number, one in enumerate(sent)
    ]
    operators = [] if pipeline is None else list(pipeline.stages)
    table = request_table(sent, main, scores, operators)
    described = [] if pipeline is None else pipeline.described()
    named = {each["name"] for each in described}
    described += [
        {"name": name.removesuffix("_compute_s")}
        for name in table.columns
        if name.endswith("_compute_s") and name.removesuffix("_compute_s") not in named
    ]
    description = {
        "pipeline": {"name": pipeline.name if pipeline else None, "operators": described},
        "rate_per_s": load.rate_per_s,
        "requests": load.requests,
        "seed": load.seed,
        "arrivals": load.arrivals,
        "timeout_s": load.timeout_s,
        "warm_up": load.warm_up,
        "endpoint": endpoint,
        "started_utc": started.isoformat(timespec="seconds"),
        "lost": len(failures),
        "versions": {**versions(), **_installed()},
        "host": host(),
        "status": FINISHED,
    }
    return Observation(description, table, noise.frame())


def _installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """Return what is known of this machine: its processor, its cores, and its kernel."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": named[1] if named else platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
    }
