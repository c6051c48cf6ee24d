"""Operators that only compute for a given time; they serve tests of what surrounds them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import fsum, log, sqrt
from time import thread_time
from typing import Any

from lab.serving.payloads import Payload, Payloads, as_json
from lab.serving.pipeline import Operator
from scenarios.random_streams import stream

CHUNK = bytes(64 * 1024)
"""What one step hashes: some 0.1 ms, without Python's lock, so that a replica can take requests."""


def burn(seconds: float) -> None:
    """Use a core for a time, which is time of this thread on a core and not of the clock.

    A neighbour on the same core thus slows it, as it slows real work.
    """
    end = thread_time() + seconds
    while thread_time() < end:
        sha256(CHUNK)


@dataclass(frozen=True)
class Busy(Operator):
    """Computes for a random time, and returns what it got.

    A batch of requests takes ``fixed_s`` plus the times of its requests. The time of a request of
    size x is lognormal with mean ``mean_s * x ** exponent``. It is drawn from a stream that its
    number names, so that a request takes as long in every run of a seed.

    Args:
        mean_s: mean time of a request of size 1 in seconds.
        cv: coefficient of variation of the time of a request.
        exponent: how the mean grows with the size.
        fixed_s: time of a batch apart from its requests.
        fail_every: every request whose number is a multiple of this raises an error; 0 for none.
        name: tells the draws of operators of one pipeline apart.
    """

    mean_s: float = 0.01
    cv: float = 0.0
    exponent: float = 1.0
    fixed_s: float = 0.0
    fail_every: int = 0
    name: str = "busy"

    def time_s(self, body: bytes) -> float:
        """Return the time of a request."""
        told = as_json(body)
        if not isinstance(told, dict) or not {"seed", "number", "size"} <= set(told):
            raise ValueError("the body must be JSON with seed, number and size")
        if self.fail_every and told["number"] % self.fail_every == 0:
            raise ValueError(f"request {told['number']} fails, as it should")
        rng = stream(told["seed"], "serving", "busy", self.name, told["number"])
        spread = sqrt(log(1 + self.cv**2))
        noise = float(rng.lognormal(-(spread**2) / 2, spread))
        return float(self.mean_s * told["size"] ** self.exponent * noise)

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Compute, and return the bodies."""
        burn(self.fixed_s + fsum(map(self.time_s, batch)))
        return batch


@dataclass(frozen=True)
class Sizes(Payloads):
    """Bodies that tell `Busy` the number and the size of a request.

    Args:
        cv: coefficient of variation of the lognormal sizes, whose mean is 1.
    """

    cv: float = 0.0

    def payload(self, seed: int, number: int) -> Payload:
        """Return the body of a request."""
        spread = sqrt(log(1 + self.cv**2))
        rng = stream(seed, "serving", "size", number)
        size = float(rng.lognormal(-(spread**2) / 2, spread))
        body = json.dumps({"seed": seed, "number": number, "size": size}).encode()
        return Payload(body, size, "application/json")
