"""The client sends by its schedule, whatever the service does."""

import asyncio
import re
import time

import numpy as np
import pytest

from lab.common.errors import InputError
from lab.serving.client import Connection, Reply, check_endpoint, send_all
from lab.serving.observe import Load
from lab.serving.payloads import Files, Payload

SLACK_S = 0.15
"""The test machine may be busy; what is tested differs by more."""


class Service(Connection):
    """A service of one server, which stalls when it gets a certain request."""

    def __init__(self, stall_s=0.0, fails=()):
        self.stall_s, self.fails, self.server, self.closed = stall_s, fails, asyncio.Lock(), False

    async def send(self, payload):
        if payload.body == b"block":
            time.sleep(0.3)  # The client itself is held up, as on a busy machine.
        async with self.server:
            if payload.body == b"stall":
                await asyncio.sleep(self.stall_s)
        if payload.body in self.fails:
            return Reply(None, failure="refused")
        return Reply(payload.body)

    async def close(self):
        self.closed = True


@pytest.fixture
def serving(monkeypatch):
    def use(**options):
        made = []

        def connection(endpoint, timeout_s):
            made.append(Service(**options))
            return made[0]

        monkeypatch.setattr("lab.serving.client.connection", connection)
        return made

    return use


def test_a_stall_delays_no_request_and_counts_from_the_schedule(serving):
    made = serving(stall_s=0.6)
    bodies = [Payload(b"stall"), *[Payload(b"ok")] * 9]
    times_s = [0.05 * at for at in range(10)]
    sent = send_all("http://x", bodies, times_s, 10)
    scheduled = np.array([one.scheduled_s for one in sent])
    np.testing.assert_allclose(scheduled - scheduled[0], times_s, atol=1e-9)
    late = np.array([one.sent_s for one in sent]) - scheduled
    assert late.min() >= 0
    assert late.max() < SLACK_S
    # Whatever came during the stall waited until its end: 0.6 s, 0.55 s, ...
    latency = np.array([one.ended_s for one in sent]) - scheduled
    np.testing.assert_allclose(latency, 0.6 - np.array(times_s), atol=SLACK_S)
    assert made[0].closed


def test_a_late_client_counts_its_lateness_as_latency(serving):
    serving()
    sent = send_all("http://x", [Payload(b"block"), Payload(b"ok")], [0.0, 0.05], 10)
    assert sent[1].sent_s - sent[1].scheduled_s > 0.1
    assert sent[1].ended_s - sent[1].scheduled_s > 0.1


def test_requests_that_fail_are_replies(serving):
    serving(fails=[b"bad"])
    sent = send_all("http://x", [Payload(b"bad"), Payload(b"ok")], [0.0, 0.01], 10)
    assert [one.reply.body for one in sent] == [None, b"ok"]
    assert sent[0].reply.failure == "refused"


def test_a_service_that_fails_at_once_is_reported(serving):
    made = serving(fails=[b"bad"])
    with pytest.raises(InputError, match="http://x: the first request failed: refused"):
        send_all("http://x", [Payload(b"bad")], [0.0], 10, warm_up=[Payload(b"bad")])
    assert made[0].closed


@pytest.mark.parametrize(
    "endpoint", ["http://h", "https://h:1/a?b=c", "grpc://h:50051/a.b.Service/Method"]
)
def test_endpoints(endpoint):
    check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    ["", "h:80", "ftp://h/x", "http://", "http://h:99999/", "grpc://h:1/Service", "grpc:///a.S/M"],
)
def test_other_endpoints_are_refused(endpoint):
    with pytest.raises(InputError, match=re.escape(f"--endpoint={endpoint}: must be http://host")):
        check_endpoint(endpoint)


@pytest.mark.parametrize("arrivals", ["poisson", "azure_llm_2023_conversation"])
def test_arrivals_have_the_rate_and_a_seed_repeats_them(arrivals):
    times = Load(20.0, 4000, 5, arrivals).times_s()
    assert times[0] == 0
    assert np.all(np.diff(times) >= 0)
    assert times == Load(20.0, 4000, 5, arrivals).times_s()
    assert times != Load(20.0, 4000, 6, arrivals).times_s()
    assert times[:100] == Load(20.0, 100, 5, arrivals).times_s()


def test_poisson_arrivals_are_exponential():
    gaps = np.diff(Load(20.0, 4000).times_s())
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_per_s": 0.0}, "--rate=0.0: must be from 0.001 to 100000"),
        ({"requests": 0}, "--requests=0: must be from 1 to 100000"),
        ({"timeout_s": -1.0}, "--timeout-s=-1.0: must be from 0.001"),
        ({"warm_up": -1}, "--warm-up=-1: must be from 0 to 100000"),
        ({"arrivals": "azure"}, "--arrivals=azure: no such file; give a CSV file"),
    ],
)
def test_wrong_loads_are_refused(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Load(**{"rate_per_s": 1.0, "requests": 2, **changes}).times_s()


def test_files_are_sent_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b.json").write_bytes(b"{}")
    (tmp_path / "a.png").write_bytes(b"123456")
    (tmp_path / ".hidden").write_bytes(b"")
    sent = [Files(tmp_path).payload(0, number) for number in range(3)]
    assert [one.body for one in sent] == [b"123456", b"{}", b"123456"]
    assert [one.size for one in sent] == [1.5, 0.5, 1.5]
    assert [one.content_type for one in sent[:2]] == ["image/png", "application/json"]


def test_a_directory_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no files to send"):
        Files(tmp_path)
    with pytest.raises(InputError, match="no such directory"):
        Files(tmp_path / "none")
