"""Makes an observation of spans: one trace is one request, and its stages are spans of operators.

The span without a parent is the whole request. The time of an operator's span is its computation;
the time between stages is transfer. Queueing is the time of a span ``NAME.queue`` before the
operator's span NAME, or an attribute of the operator's span in seconds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from statistics import fmean
from typing import Any

import polars as pl

from lab.common.errors import InputError, choices, short
from lab.serving.importers.otlp import Span
from lab.serving.noise import SCHEMA as NOISE_SCHEMA
from lab.serving.observation import Observation, Passed, passed_table
from lab.serving.pipeline import check_operator, operator_name
from lab.serving.predicting.batches import Jobs
from lab.serving.timing import Visit
from lab.version import versions
from sim.clock import NS_PER_S

QUEUE = ".queue"
PARALLEL = 0.5
"""Stages that overlap by more than this share of the shorter one do not follow one another. Less is
taken as a difference between the clocks of two hosts."""
ATTRIBUTES = {"batch": "batch.size", "replica": "service.instance.id", "queueing": "queueing_s"}
"""Attributes of spans or resources: requests in the batch, name of the replica, queueing in s."""


@dataclass(frozen=True)
class SpanNames:
    """What the names in traces mean.

    Args:
        operators: the name of its span by operator, in the order in which a request visits them; if
            there are none, each name of leaf spans below the root is an operator.
        attributes: names of attributes; see `ATTRIBUTES`.
        cores: cores of the host that the operators share; None for one of its own for each replica.
    """

    operators: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=lambda: ATTRIBUTES)
    cores: int | None = None

    def __post_init__(self) -> None:
        for operator in self.operators:
            check_operator(f"--operator {operator}=...", operator)
        spans = list(self.operators.values())
        for operator, name in self.operators.items():
            if spans.count(name) > 1:
                raise InputError(f"--operator {operator}={name}: names a span of two operators")
        for key in self.attributes:
            if key not in ATTRIBUTES:
                raise InputError(f"--attribute {key}=...: no such part; {choices(key, ATTRIBUTES)}")
        if self.cores is not None and self.cores < 1:
            raise InputError(f"--cores={self.cores}: must be 1 or more")


@dataclass(frozen=True)
class _Trace:
    root: Span
    spans: Sequence[Span]

    def stages(self, operators: Mapping[str, str]) -> dict[str, Span]:
        """Return the spans of operators by operator, in the order of start."""
        of = {name: operator for operator, name in operators.items()}
        found: dict[str, Span] = {}
        for span in sorted(self.spans, key=lambda span: (span.start_ns, span.end_ns)):
            if span.name not in of:
                continue
            operator = of[span.name]
            if operator in found:
                raise InputError(
                    f"trace {span.trace.hex()}: has several spans {span.name!r}, but a request "
                    "visits an operator once; name the span around them by --operator "
                    f"{operator}=SPAN"
                )
            found[operator] = span
        return found


def observation_of_spans(
    spans: Sequence[Span], names: SpanNames, source: str
) -> tuple[Observation, list[str]]:
    """Return what spans tell of requests, and sentences on what they do not tell.

    A trace whose root has the status of an error is a lost request. How many replicas serve an
    operator, and its largest batch, are those that were seen. The longest wait for a batch is
    unknown and written as 0.

    Raises:
        InputError: no trace has a root or all failed, an operator never occurs or occurs twice in
            a trace, or stages overlap.
    """
    traces, rootless = _traces(spans)
    served = [trace for trace in traces if not trace.root.failed]
    if not served:
        raise InputError(f"each of the {len(traces):,} traces has a root span of status error")
    operators = dict(names.operators) or _leaves(served)
    known = sorted({span.name for trace in served for span in trace.spans})
    for operator, name in operators.items():
        if name not in known:
            raise InputError(
                f"--operator {operator}={name}: no span has this name; {choices(name, known)}"
            )
    staged = [(each, {} if each.root.failed else each.stages(operators)) for each in traces]
    kept = [(trace, stages) for trace, stages in staged if stages or trace.root.failed]
    if not names.operators:
        operators = _in_order(operators, kept)
    sentences = _left_out(len(traces) + rootless, rootless, len(staged) - len(kept))
    key = names.attributes["batch"]
    single = [
        name
        for operator, name in operators.items()
        if not any(key in stages[operator].attributes for _, stages in kept if operator in stages)
    ]
    if single:
        sentences.append(
            f"no span {' or '.join(single)} has the attribute {key}, so each is taken as a batch "
            "of one request"
        )
    zero_ns = kept[0][0].root.start_ns
    passed = [_passed(trace, stages, operators, names, zero_ns) for trace, stages in kept]
    return _observation(passed, operators, names, source, zero_ns), sentences


def _traces(spans: Iterable[Span]) -> tuple[list[_Trace], int]:
    """Return the traces that have one root, by its start, and the number of the others."""
    by_trace = defaultdict(list)
    for span in spans:
        by_trace[span.trace].append(span)
    found = []
    for members in by_trace.values():
        here = {span.id for span in members}
        roots = [span for span in members if span.parent is None]
        # The caller may have a span that is not in the file.
        roots = roots or [span for span in members if span.parent not in here]
        if len(roots) == 1:
            found.append(_Trace(roots[0], members))
    if not found:
        raise InputError(
            f"none of the {len(by_trace):,} traces has one root span, which is a span without a "
            "parent, so the latency of no request is known"
        )
    return sorted(found, key=lambda trace: trace.root.start_ns), len(by_trace) - len(found)


def _leaves(traces: Sequence[_Trace]) -> dict[str, str]:
    """Return the names of leaf spans below the roots, by the operators that they are taken for."""
    leaves = set()
    for trace in traces:
        parents = {span.parent for span in trace.spans}
        leaves |= {one.name for one in trace.spans if one.id not in parents} - {trace.root.name}
    found: dict[str, str] = {}
    for name in sorted(leaves):
        if name.removesuffix(QUEUE) in leaves - {name}:
            continue
        operator = operator_name(name)
        if operator in found:
            raise InputError(
                f"spans {found[operator]!r} and {name!r} would both be operator {operator}; name "
                "the spans of operators by --operator NAME=SPAN"
            )
        found[operator] = name
    if not found:
        raise InputError(
            "no trace has a span below its root; name the spans of operators by --operator "
            "NAME=SPAN"
        )
    return found


def _in_order(
    operators: Mapping[str, str], staged: Sequence[tuple[_Trace, Mapping[str, Span]]]
) -> dict[str, str]:
    """Return operators by their mean start after the root's."""
    starts = {
        operator: fmean(
            stages[operator].start_ns - trace.root.start_ns
            for trace, stages in staged
            if operator in stages
        )
        for operator in operators
    }
    return {operator: operators[operator] for operator in sorted(operators, key=starts.__getitem__)}


def _left_out(traces: int, rootless: int, without: int) -> list[str]:
    reasons = {
        "they have no span without a parent, or several": rootless,
        "they have no span of an operator": without,
    }
    return [
        f"{count:,} of {traces:,} traces are left out, because {why}"
        for why, count in reasons.items()
        if count
    ]


def _passed(
    trace: _Trace,
    stages: Mapping[str, Span],
    operators: Mapping[str, str],
    names: SpanNames,
    zero_ns: int,
) -> Passed:
    root = trace.root
    start_s, end_s = ((at - zero_ns) / NS_PER_S for at in (root.start_ns, root.end_ns))
    if root.failed:
        return Passed(start_s, start_s, end_s, False, {}, failure=root.message or "error")
    queues = {span.name: span for span in trace.spans if span.name.endswith(QUEUE)}
    visits = {}
    before, left_ns = None, root.start_ns
    for operator in operators:
        if operator not in stages:
            continue
        span = stages[operator]
        if before is not None:
            _check_order(before, span, operator)
        queue = queues.get(f"{span.name}{QUEUE}", queues.get(f"{operator}{QUEUE}"))
        queueing_s = _queueing_s(span, queue, names)
        gap_s = (span.start_ns - left_ns) / NS_PER_S
        visits[operator] = Visit(
            transfer_s=max(0.0, gap_s - (queueing_s or 0.0)),
            queueing_s=queueing_s,
            batching_s=0.0,
            compute_s=(span.end_ns - span.start_ns) / NS_PER_S,
            start_s=(span.start_ns - zero_ns) / NS_PER_S,
            batch=_batch(span, names.attributes["batch"]),
            replica=_replica(span, names),
        )
        before, left_ns = span, span.end_ns
    back_s = max(0.0, (root.end_ns - left_ns) / NS_PER_S)
    return Passed(start_s, start_s, end_s, True, visits, back_s)


def _check_order(before: Span, span: Span, operator: str) -> None:
    shorter_ns = min(one.end_ns - one.start_ns for one in (before, span))
    if before.end_ns - span.start_ns > PARALLEL * shorter_ns:
        raise InputError(
            f"trace {span.trace.hex()}: spans {before.name!r} and {span.name!r} overlap, or are in "
            "another order than in other traces; operators must follow one another, so name the "
            f"span around them by --operator {operator}=SPAN"
        )


def _queueing_s(span: Span, queue: Span | None, names: SpanNames) -> float:
    """Return the time in the queue, 0 if nothing tells it."""
    key = names.attributes["queueing"]
    if key in span.attributes:
        value = span.attributes[key]
        if isinstance(value, bool | str) or not isfinite(value) or value < 0:
            raise InputError(
                f"attribute {key} of span {span.name!r} must be a number of seconds, 0 or more; it "
                f"is {short(value)}"
            )
        return float(value)
    return 0.0 if queue is None else (queue.end_ns - queue.start_ns) / NS_PER_S


def _batch(span: Span, key: str) -> int:
    value = span.attributes.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"attribute {key} of span {span.name!r} must be a whole number of 1 or more; it is "
            f"{short(value)}"
        )
    return value


def _replica(span: Span, names: SpanNames) -> str | None:
    value = span.attributes.get(names.attributes["replica"])
    return None if value is None else str(value)


def _observation(
    passed: Sequence[Passed],
    operators: Mapping[str, str],
    names: SpanNames,
    source: str,
    zero_ns: int,
) -> Observation:
    frame = passed_table(passed, list(operators))
    described = [
        {
            "name": operator,
            "span": name,
            "replicas": _replicas(frame, operator),
            "max_batch": int(frame[f"{operator}_batch"].max() or 1),  # type: ignore[arg-type]
            "max_wait_s": 0.0,
            "knobs": {},
        }
        for operator, name in operators.items()
    ]
    last_s = passed[-1].scheduled_s
    cores: Any = names.cores or sum(each["replicas"] for each in described)  # type: ignore[misc]
    description = {
        "pipeline": {"name": None, "operators": described},
        "rate_per_s": (len(passed) - 1) / last_s if last_s > 0 else None,
        "requests": len(passed),
        "seed": None,
        "arrivals": "trace",
        "source": source,
        "started_utc": datetime.fromtimestamp(zero_ns / NS_PER_S, UTC).isoformat(
            timespec="seconds"
        ),
        "lost": sum(not each.completed for each in passed),
        "versions": versions(),
        "host": {"cpu": "unknown", "cores": cores, "kernel": "unknown"},
        "status": "imported",
    }
    return Observation(description, frame, pl.DataFrame(schema=NOISE_SCHEMA))


def _replicas(frame: pl.DataFrame, operator: str) -> int:
    """Return how many replicas were seen: by name, or else by the most batches at one time."""
    seen = frame[f"{operator}_replica"].drop_nulls().n_unique()
    if seen:
        return seen
    start = pl.col(f"{operator}_started_s")
    end = start + pl.col(f"{operator}_compute_s")
    busy = frame.select(started_s=start, ended_s=end).drop_nulls().unique()
    return int(Jobs.of(busy).number.max(initial=1))
