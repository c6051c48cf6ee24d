"""The connection to a planner's process: values arrive as they were sent, and only data is sent."""

import numpy as np
import pytest

from lab.leaderboard.wire import WireError, packed, unpacked
from scenarios.applications.pipeline import Configuration
from sim.api.estimate import Measurement
from sim.api.plan import Allocation, Plan


def test_values_arrive_as_they_were_sent():
    configuration = Configuration(3, (1, "a"))
    plan = Plan(configuration, ("cloud",), (Allocation("core", max_wait_s=0.5),))
    rows = np.arange(6.0).reshape(2, 3), np.ones(2)
    measured = Measurement(configuration, np.arange(2), rows[1], rows[0], rows[1], rows[1])
    values = (
        1,
        -0.5,
        float("inf"),
        None,
        True,
        "é",
        [],
        {"a": (1,), 2: {3}},
        np.float64(2.5),
        plan,
    )
    found = unpacked(packed(values, lambda _: None), lambda *_: None)
    assert found == values
    assert hash(found[-1]) == hash(plan)
    again = unpacked(packed(measured, lambda _: None), lambda *_: None)
    assert again.operator_time_s.tolist() == rows[0].tolist()
    assert again.items.dtype == np.int64
    assert again.configuration == configuration


def test_only_data_is_sent():
    for value in (object(), len, lambda: 0, np.array([object()]), type("Plan", (), {})()):
        with pytest.raises(TypeError, match="cannot be passed to the planning context"):
            packed([value], lambda _: None)


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"[", b"nan", b"\xff", b'{"a": 1}', b"[1]", b'["nonsense", 3]', b'["array"]'),
        *(b'["array", "O", [1], "AAAAAAAAAAA="]', b'["array", "<f8", [9], "AAAAAAAAAAA="]'),
        *(b'["dict", [["list"], 1]]', b'["Plan"]', b'["shared", "x"]', b"[" * 100_000),
        b'["Measurement", null, ' + b'["array", "<f8", [1], "AAAAAAAAAAA="], ' * 4 + b"null]",
        b"9" * 10_000,
    ],
)
def test_what_is_no_message_is_refused(message):
    def resolve(kind, number):
        assert kind == "shared"
        return {0: "known"}[number]

    assert unpacked(b'["shared", 0]', resolve) == "known"
    with pytest.raises(WireError):
        unpacked(message, resolve)
