"""Makes the two files of spans beside it, by the SDK of OpenTelemetry and two of its encoders.

`otlp_lines.jsonl` is what opentelemetry-exporter-otlp-json-file writes (ids as hexadecimal digits,
one document per line). `otlp_protobuf.json` is one document by protobuf's own mapping to JSON (ids
in base64), from opentelemetry-exporter-otlp-proto-common. They have the same spans. Made with
opentelemetry-sdk 1.45.2; nothing of it is needed to read them. Times are those that the tests of
`lab.serving.importers.spans` state.
"""

from pathlib import Path

from google.protobuf.json_format import MessageToJson
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode, set_span_in_context

HERE = Path(__file__).parent
FIRST_NS = 1_767_225_600_000_000_123
MS = 10**6
REQUESTS = 40
FAILED = 7


def main() -> None:
    memory = InMemorySpanExporter()
    services = {}
    for name, instance in [("gateway", "gw"), ("detect", "d0"), ("read", "r0"), ("read", "r1")]:
        resource = Resource({"service.name": name, "service.instance.id": instance})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        services[instance] = provider.get_tracer("samples")

    for number in range(REQUESTS):
        at = FIRST_NS + number * 100 * MS
        root = services["gw"].start_span("POST /read", start_time=at)
        inside = set_span_in_context(root)
        if number == FAILED:
            root.set_status(Status(StatusCode.ERROR, "no capacity"))
            root.end(at + 5 * MS)
            continue

        def leaf(instance, name, start_ms, end_ms, inside=inside, at=at, **attributes):
            span = services[instance].start_span(
                name, context=inside, start_time=at + start_ms * MS
            )
            span.set_attributes({key.replace("__", "."): one for key, one in attributes.items()})
            span.end(at + end_ms * MS)

        reader = f"r{number % 2}"
        slow = number % 4
        leaf("d0", "detect", 2, 22 + slow, batch__size=1)
        leaf(reader, "read.queue", 25 + slow, 30 + slow)
        leaf(reader, "read", 30 + slow, 70 + 2 * slow, batch__size=1 + number % 2)
        root.end(at + 75 * MS + 2 * slow * MS)

    spans = memory.get_finished_spans()
    lines = HERE / "otlp_lines.jsonl"
    lines.unlink(missing_ok=True)
    exporter = FileSpanExporter(path=lines)
    for first in range(0, len(spans), 20):  # A trace can be in several lines.
        exporter.export(spans[first : first + 20])
    exporter.shutdown()
    document = MessageToJson(encode_spans(spans), indent=None)
    (HERE / "otlp_protobuf.json").write_text(f"{document}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
