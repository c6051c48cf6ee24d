"""The tools of ``compass-lab`` on services that really run."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from lab.common.console import console, say, warn
from lab.common.errors import InputError
from lab.config.trust import allow_import, split_allowed
from lab.serving.observation import Observation, check_free
from lab.serving.observe import Load, observe_endpoint
from lab.serving.observe import observe as observe_pipeline
from lab.serving.payloads import Files, Payloads
from lab.serving.pipeline import Pipeline, load_pipeline

OK = 0
LATE_S = 0.05
"""A request sent so late is worth a warning: the machine of the client is too busy."""


def observe(options: argparse.Namespace) -> int:
    """Send a load to a service, write what was observed, and return the exit status."""
    load = Load(
        options.rate,
        options.requests,
        options.seed,
        options.arrivals,
        options.timeout_s,
        options.warm_up,
    )
    check_free(options.out)
    target, endpoint = options.target, options.endpoint
    if "://" in target:
        if endpoint is not None:
            raise InputError(f"--endpoint={endpoint}: {target} is an address already; give one")
        target, endpoint = None, target
    pipeline = None if target is None else _pipeline(target, options)
    if pipeline is None and options.overrides:
        raise InputError(f"{options.overrides[0]}: sets a key of a pipeline, and none is named")
    if options.payloads is not None:
        payloads: Payloads = Files(options.payloads)
    elif pipeline is not None:
        payloads = pipeline.payloads
    else:
        raise InputError(f"--payloads is missing: name a directory of what to send to {endpoint}")
    if endpoint is None:
        assert pipeline is not None
        served = replace(pipeline, payloads=payloads)
        found = observe_pipeline(served, load, options.port)
    else:
        found = observe_endpoint(endpoint, load, payloads, pipeline)
    found.write(options.out)
    _tell(found, options.out)
    return OK


def _pipeline(target: str, options: argparse.Namespace) -> Pipeline:
    _, allowed = split_allowed([allow_import(each) for each in options.allow_import])
    return load_pipeline(target, options.overrides, allowed)


def _tell(found: Observation, out: Path) -> None:
    requests = found.requests
    done = requests.filter(requests["latency_s"].is_not_null())
    p50, p95, p99 = np.quantile(done["latency_s"].to_numpy(), (0.5, 0.95, 0.99)) * 1e3
    last_s = float(requests["ended_s"].max())  # type: ignore[arg-type]
    say(
        f"{done.height:,} of {requests.height:,} requests in {last_s:.1f} s; latency p50 "
        f"{p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms"
    )
    for name in found.operators:
        compute_s = done[f"{name}_compute_s"].drop_nulls().to_numpy()
        if len(compute_s):
            say(f"  {name}: a batch takes {np.mean(compute_s) * 1e3:.1f} ms on average")
    if "accuracy" in requests.columns:
        say(f"  accuracy {np.mean(done['accuracy'].to_numpy()):.3f}")
    console().print(f"wrote {out}", soft_wrap=True)
    if lost := requests.height - done.height:
        reason = requests["failure"].drop_nulls()[0]
        warn(f"{lost:,} requests were lost, the first by: {reason}")
    late_s = float((requests["sent_s"] - requests["arrival_s"]).max())  # type: ignore[arg-type]
    if late_s > LATE_S:
        warn(f"a request was sent {late_s * 1e3:.0f} ms late, because this machine is too busy")
