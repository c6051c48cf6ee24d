"""When a request passed the operators of a service, as the header ``Server-Timing`` tells it.

The header is W3C's: metrics with a duration in milliseconds and a description, by commas. For an
operator ``detect``, a service can send any of::

    detect.transfer;dur=0.9, detect.queueing;dur=3.1, detect.batching;dur=0.2,
    detect.compute;dur=9.8;desc="batch=4 replica=0", detect.cpu;dur=9.7,
    detect.start;dur=81234567.9

``start`` is the moment at which the batch began, on the monotonic clock of the service's host. The
client uses it only where it lies between the sending of the request and its answer, which is how
it recognises that both are on one host. An operator cannot be named ``answer``: tables call the way
of the answer so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scenarios.applications.pipeline import ANSWER

HEADER = "Server-Timing"
METRIC = re.compile(
    r"\s*([!#$%&'*+.^_`|~\w-]+)((?:\s*;\s*[\w-]+\s*(?:=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]*))?)*)\s*(?:,|$)"
)
PARAMETER = re.compile(r";\s*([\w-]+)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*)))?")
STAGE = re.compile(
    rf"(?!{ANSWER}\.)([a-z][a-z0-9_]*)\.(transfer|queueing|batching|compute|cpu|start)"
)
MS = 1e3
MOST_TEXT = 20_000


@dataclass(frozen=True)
class Visit:
    """A request's visit to an operator; None is unknown. All times are in seconds.

    Args:
        transfer_s: from the end at the operator before until the entry to this one.
        queueing_s: from the entry until a replica is free.
        batching_s: from then until the batch begins.
        compute_s: execution of the batch.
        cpu_s: time on a core that the execution took.
        start_s: when the batch began, on the monotonic clock of the service's host.
        batch: requests in the batch.
        replica: name of the replica.
    """

    transfer_s: float | None = None
    queueing_s: float | None = None
    batching_s: float | None = None
    compute_s: float | None = None
    cpu_s: float | None = None
    start_s: float | None = None
    batch: int | None = None
    replica: str | None = None


def header(visits: Mapping[str, Visit]) -> str:
    """Return the value of the header for visits by operator, in their order."""
    metrics = []
    for name, visit in visits.items():
        for part in ("transfer", "queueing", "batching", "compute", "cpu", "start"):
            value: float | None = getattr(visit, f"{part}_s")
            if value is None:
                continue
            metric = f"{name}.{part};dur={value * MS:.6f}"
            if part == "compute":
                told = [
                    f"{key}={one}"
                    for key, one in (("batch", visit.batch), ("replica", visit.replica))
                    if one is not None
                ]
                metric += f';desc="{" ".join(told)}"' if told else ""
            metrics.append(metric)
    return ", ".join(metrics)


def visits_of(text: str) -> dict[str, Visit]:
    """Return the visits that a header tells, in its order; whatever else it has is passed over."""
    visits: dict[str, Visit] = {}
    if len(text) > MOST_TEXT:
        return visits
    at = 0
    while metric := METRIC.match(text, at):
        at = metric.end()
        stage = STAGE.fullmatch(metric[1])
        if stage is None:
            continue
        told = {key.lower(): quoted or plain for key, quoted, plain in PARAMETER.findall(metric[2])}
        known = visits.get(stage[1], Visit())
        values: dict[str, Any] = {f"{stage[2]}_s": _seconds(told.get("dur"))}
        words = dict(one.split("=", 1) for one in told.get("desc", "").split() if "=" in one)
        if words.get("batch", "").isdecimal():
            values["batch"] = int(words["batch"][:9])
        if "replica" in words:
            values["replica"] = words["replica"]
        visits[stage[1]] = replace(known, **values)
    return visits


def _seconds(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{1,18}(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?", text):
        return None
    return float(text) / MS


def placed(
    visits: Mapping[str, Visit], scheduled_s: float, sent_s: float, ended_s: float
) -> tuple[dict[str, Visit], float | None]:
    """Return visits whose parts add up to the latency, and the time of the answer's way back.

    If the service's clock is the client's, the transfer to an operator is computed: from the end at
    the operator before, and for the first operator from the scheduled sending. Otherwise the visits
    stay as the service told them, and the way back is unknown.

    Args:
        visits: visits by operator, in their order.
        scheduled_s: when the request should have been sent, on the client's monotonic clock.
        sent_s: when it was sent.
        ended_s: when the answer was complete.
    """
    found: dict[str, Visit] = {}
    end = scheduled_s
    for name, visit in visits.items():
        if visit.start_s is None or visit.compute_s is None:
            return dict(visits), None
        entered = visit.start_s - (visit.queueing_s or 0.0) - (visit.batching_s or 0.0)
        if not sent_s <= visit.start_s <= visit.start_s + visit.compute_s <= ended_s:
            return dict(visits), None
        found[name] = replace(visit, transfer_s=entered - end)
        end = visit.start_s + visit.compute_s
    return found, ended_s - end if found else None


def names(visits: Sequence[Mapping[str, Visit]]) -> list[str]:
    """Return the names of all operators, in the order in which they first appear."""
    return list(dict.fromkeys(name for each in visits for name in each))
