"""Reads spans of OpenTelemetry from files of OTLP JSON.

A file is one document, or one per line, as the Collector's file exporter and the SDKs write it:
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/. Ids are hexadecimal digits there,
but base64 in protobuf's own mapping to JSON; both are read:
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. So are the status as a number and
as a name, and times as numbers and as texts.
"""

from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.common.errors import InputError, short
from lab.common.tool_files import json_objects

WRITER = "an exporter of OTLP JSON"
OTHERS = ("resourceMetrics", "resourceLogs")
ERRORS = (2, "2", "STATUS_CODE_ERROR")
TRACE_BYTES, SPAN_BYTES = 16, 8
MOST_NS = 2**63
VALUES: Mapping[str, type] = {
    "stringValue": str,
    "intValue": int,  # in JSON, a text of digits
    "doubleValue": float,
    "boolValue": bool,
}
Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Span:
    """A span; times are in ns since 1970.

    Args:
        trace: id of its trace.
        id: its id within the trace.
        parent: id of the span that it is a part of; None if it has none.
        name: its name.
        start_ns: its start.
        end_ns: its end.
        attributes: plain attributes by name; those of its resource are among them.
        failed: whether its status is an error.
        message: the message of its status.
    """

    trace: bytes
    id: bytes
    parent: bytes | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    failed: bool = False
    message: str = ""


def read_spans(paths: Sequence[Path]) -> list[Span]:
    """Return the spans of files; raise InputError if a file is no OTLP JSON, or none has spans."""
    spans = [span for path in paths for span in _spans(path)]
    if not spans:
        raise InputError(f"{', '.join(map(str, paths))}: has no spans")
    return spans


def _spans(path: Path) -> Iterator[Span]:
    for document in json_objects(path, WRITER):
        if "resourceSpans" not in document and not any(key in document for key in OTHERS):
            raise InputError(
                f"{path}: an object has no resourceSpans, so it is no OTLP JSON of spans, as the "
                "file exporter of the OpenTelemetry Collector writes it"
            )
        for of_resource in _objects(path, document, "resourceSpans"):
            shared = _attributes(path, _object(path, of_resource, "resource"))
            for of_scope in _objects(path, of_resource, "scopeSpans"):
                for each in _objects(path, of_scope, "spans"):
                    yield _span(path, each, shared)


def _span(path: Path, found: Mapping[str, Any], shared: Attributes) -> Span:
    name = found.get("name", "")
    if not isinstance(name, str):
        raise InputError(f"{path}: the name of a span must be a text; it is {short(name)}")
    start_ns, end_ns = (
        _time_ns(path, name, found, f"{which}TimeUnixNano") for which in ("start", "end")
    )
    if end_ns < start_ns:
        raise InputError(f"{path}: span {name!r} ends before it starts")
    status = _object(path, found, "status")
    parent = _id(path, name, found, "parentSpanId", SPAN_BYTES)
    return Span(
        _needed_id(path, name, found, "traceId", TRACE_BYTES),
        _needed_id(path, name, found, "spanId", SPAN_BYTES),
        parent,
        name,
        start_ns,
        end_ns,
        {**shared, **_attributes(path, found)},
        status.get("code") in ERRORS,
        str(status.get("message", "")),
    )


def _time_ns(path: Path, name: str, span: Mapping[str, Any], key: str) -> int:
    value = span.get(key)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < MOST_NS):
        raise InputError(
            f"{path}: span {name!r} must have {key}, in ns since 1970; it is {short(value)}"
        )
    return int(text)


def _needed_id(path: Path, name: str, span: Mapping[str, Any], key: str, length: int) -> bytes:
    found = _id(path, name, span, key, length)
    if found is None:
        raise InputError(f"{path}: span {name!r} has no {key}")
    return found


def _id(path: Path, name: str, span: Mapping[str, Any], key: str, length: int) -> bytes | None:
    """Return an id of a number of bytes; None if it is missing, empty, or has zeros only."""
    text = span.get(key) or ""
    try:
        is_hex = len(text) == 2 * length
        value = bytes.fromhex(text) if is_hex else b64decode(text, validate=True)
    except (TypeError, ValueError, NoBase64):
        value = b"?"
    if len(value) not in (0, length):
        raise InputError(
            f"{path}: {key} of span {name!r} must be {length} bytes, as {2 * length} hexadecimal "
            f"digits or in base64; it is {short(text)}"
        )
    return value if any(value) else None


def _attributes(path: Path, node: Mapping[str, Any]) -> Attributes:
    found = {}
    for each in _objects(path, node, "attributes"):
        for kind, value in _object(path, each, "value").items():
            if kind in VALUES:
                try:
                    found[str(each.get("key"))] = VALUES[kind](value)
                except (TypeError, ValueError, OverflowError):
                    raise InputError(
                        f"{path}: attribute {short(each.get('key'))} must be of kind {kind}; it is "
                        f"{short(value)}"
                    ) from None
    return found


def _object(path: Path, node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = node.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key} must be an object, as in OTLP; it is {short(value)}")
    return value


def _objects(path: Path, node: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = node.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InputError(f"{path}: {key} must be a list of objects, as in OTLP")
    return value
