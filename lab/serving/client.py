"""An open-loop client: it sends each request at its scheduled time, whatever the answers do.

A closed loop sends a request only when an earlier one has been answered, so a slow service is sent
less, and its latency looks better than users would see it (coordinated omission). Here the latency
counts from the scheduled time.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from lab.common.errors import InputError, one_line
from lab.serving.extra import needed
from lab.serving.payloads import Payload
from lab.serving.timing import HEADER

LEAD_S = 0.2
"""Time from the start of the client until the first request."""
GRPC = re.compile(r"grpc://([^/\s]+)/([\w.]+/\w+)")
ENDPOINT = "http://host:port/path or grpc://host:port/package.Service/Method"
MOST_REASON = 300


@dataclass(frozen=True)
class Reply:
    """The answer to a request.

    Args:
        body: its bytes; None if the request failed.
        timing: the header ``Server-Timing``, or the trailing metadata of that name.
        failure: why the request failed, in one line; empty if it did not.
    """

    body: bytes | None
    timing: str = ""
    failure: str = ""


@dataclass(frozen=True)
class Sent:
    """A request that has ended; times are of the monotonic clock, in seconds."""

    scheduled_s: float
    sent_s: float
    ended_s: float
    reply: Reply


class Connection(ABC):
    """A way to a service, which any number of requests can use at once."""

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @abstractmethod
    async def send(self, payload: Payload) -> Reply:
        """Send a request, and wait for its answer; a failure is a reply, too."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""


class Http(Connection):
    """Requests by POST over HTTP/1.1, each on a connection of its own that is kept alive."""

    def __init__(self, url: str, timeout_s: float) -> None:
        aiohttp = needed("aiohttp")
        self._url, self._errors = url, (aiohttp.ClientError, OSError, asyncio.TimeoutError)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # A limit would make a closed loop.
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        )

    async def send(self, payload: Payload) -> Reply:
        """Send a request, and wait for its answer."""
        kind = {"Content-Type": payload.content_type}
        try:
            async with self._session.post(self._url, data=payload.body, headers=kind) as response:
                body = await response.read()
                # A service can split the header into several of one name.
                timing = ", ".join(response.headers.getall(HEADER, []))
                if response.status == 200:
                    return Reply(body, timing)
                said = one_line(body.decode(errors="replace"))[:MOST_REASON]
                return Reply(None, timing, f"{response.status} {response.reason}: {said}")
        except TimeoutError:
            return Reply(None, failure="no answer in time")
        except self._errors as error:
            return Reply(None, failure=one_line(error)[:MOST_REASON])

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class Grpc(Connection):
    """Unary calls of a gRPC method, whose messages are bytes as they are."""

    def __init__(self, host: str, method: str, timeout_s: float) -> None:
        self._grpc = needed("grpc")
        from grpc import aio

        self._timeout_s, unlimited = timeout_s, -1
        sizes = [(f"grpc.max_{way}_message_length", unlimited) for way in ("send", "receive")]
        options = [*sizes, ("grpc.enable_http_proxy", 0)]
        self._channel = aio.insecure_channel(host, options=options)
        self._call = self._channel.unary_unary(f"/{method}")

    async def send(self, payload: Payload) -> Reply:
        """Send a request, and wait for its answer."""
        call = self._call(payload.body, timeout=self._timeout_s)
        try:
            body = bytes(await call)
        except self._grpc.RpcError as error:
            code, said = error.code(), one_line(error.details() or "")
            return Reply(None, failure=f"{code.name}: {said}"[:MOST_REASON])
        told = [value for key, value in await call.trailing_metadata() if key == HEADER.lower()]
        return Reply(body, ", ".join(map(str, told)))

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def check_endpoint(endpoint: str) -> None:
    """Raise InputError if an address is not one of a service."""
    try:
        parts = urlsplit(endpoint)
        whole = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    good = parts.scheme in ("http", "https") if whole else False
    if not (good or (whole and GRPC.fullmatch(endpoint))):
        raise InputError(f"--endpoint={endpoint}: must be {ENDPOINT}")


def connection(endpoint: str, timeout_s: float) -> Connection:
    """Return a way to the service at an address; call this in a running event loop."""
    check_endpoint(endpoint)
    if found := GRPC.fullmatch(endpoint):
        return Grpc(found[1], found[2], timeout_s)
    return Http(endpoint, timeout_s)


def send_all(
    endpoint: str,
    payloads: Sequence[Payload],
    times_s: Sequence[float],
    timeout_s: float,
    warm_up: Sequence[Payload] = (),
    during: Sequence[Any] = (),
) -> list[Sent]:
    """Send requests by a schedule; return them in its order.

    Args:
        endpoint: address of the service.
        payloads: what to send.
        times_s: when to send each, in seconds after the first, in increasing order.
        timeout_s: longest time to wait for an answer.
        warm_up: requests that are sent one after the other before, and not returned.
        during: context managers that are open while the requests of the schedule are sent; they
            are given the moment of the first scheduled request.

    Raises:
        InputError: the first request of the warm-up fails.
    """
    return asyncio.run(_send_all(endpoint, payloads, times_s, timeout_s, warm_up, during))


async def _send_all(
    endpoint: str,
    payloads: Sequence[Payload],
    times_s: Sequence[float],
    timeout_s: float,
    warm_up: Sequence[Payload],
    during: Sequence[Any],
) -> list[Sent]:
    async with AsyncExitStack() as open_:
        way = await open_.enter_async_context(connection(endpoint, timeout_s))
        for number, payload in enumerate(warm_up):
            reply = await way.send(payload)
            if reply.failure and number == 0:  # Later ones are lost as in the schedule itself.
                raise InputError(f"{endpoint}: the first request failed: {reply.failure}")
        start = monotonic() + LEAD_S
        for each in during:
            open_.enter_context(each(start))

        async def one(payload: Payload, scheduled: float) -> Sent:
            sent = monotonic()
            reply = await way.send(payload)
            return Sent(scheduled, sent, monotonic(), reply)

        tasks = []
        try:
            for payload, after in zip(payloads, times_s, strict=True):
                scheduled = start + after
                await asyncio.sleep(scheduled - monotonic())
                tasks.append(asyncio.create_task(one(payload, scheduled)))
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
