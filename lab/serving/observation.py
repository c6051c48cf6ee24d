"""Reads and writes the directory of an observation: what was served, each request, the noise.

The table of requests has the columns of the simulator's own (`sim.metrics.request_table`) and
further ones, so that what was observed and what is simulated are read alike.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError, no_directory, one_line, short
from lab.runs.run_directory import write_aside
from lab.serving.client import Sent
from lab.serving.noise import SCHEMA as NOISE_SCHEMA
from lab.serving.payloads import Payload
from lab.serving.pipeline import check_operator, is_name
from lab.serving.timing import Visit, names, placed, visits_of
from scenarios.applications.pipeline import ANSWER
from sim.dataplane.base.interface import COMPLETED
from sim.metrics.request_table import PARTS, REQUESTS

DESCRIPTION, NOISE = "observation.json", "noise.parquet"
TABLE = f"{REQUESTS}.parquet"
LOST = "lost"
WHOLE = {"query": pl.Int64, "number": pl.Int64, "deployment": pl.Int64}
FACTORS = ("size", "length", "allowance")
NEEDED = ("pipeline", "rate_per_s", "requests", "seed", "arrivals")
"""Keys of every description of an observation, which a prediction keeps."""


@dataclass(frozen=True)
class Observation:
    """What was observed.

    Args:
        description: what was served and sent, where and when; the content of observation.json.
        requests: a row for each request, by its number.
        noise: a row for each second, with the columns of `lab.serving.noise.SCHEMA`.
    """

    description: Mapping[str, Any]
    requests: pl.DataFrame
    noise: pl.DataFrame

    @property
    def operators(self) -> list[str]:
        """The names of the operators, in the order in which a request visits them."""
        return [str(each["name"]) for each in self.description["pipeline"]["operators"]]

    def write(self, directory: Path) -> None:
        """Write the directory; the description is written last, so that it says all is there."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, frame in ((TABLE, self.requests), (NOISE, self.noise)):
            with written_aside(directory / name) as aside:
                frame.write_parquet(aside)
        text = json.dumps(self.description, indent=2, allow_nan=False)
        write_aside(directory / DESCRIPTION, f"{text}\n")


def check_free(directory: Path) -> None:
    """Raise InputError if a directory already has an observation, or is none."""
    if (directory / DESCRIPTION).exists():
        raise InputError(f"--out={directory}: has an observation; name another directory")
    if directory.exists() and not directory.is_dir():
        raise InputError(f"--out={directory}: is not a directory")


def read_observation(directory: Path) -> Observation:
    """Read an observation; raise InputError if there is none or it is damaged."""
    path = directory / DESCRIPTION
    description = read_description(path, ", so it is no complete observation")
    for key in NEEDED:
        if not isinstance(description, dict) or key not in description:
            raise InputError(f"{path}: has no {key}, so it describes no observation")
    pipeline = description["pipeline"]
    operators = pipeline.get("operators") if isinstance(pipeline, dict) else None
    if not isinstance(operators, list) or not all(
        isinstance(each, dict) and "name" in each for each in operators
    ):
        raise InputError(f"{path}: pipeline.operators must be a list of mappings with a name")
    # The application of an observation has files of these names, and it can be a stranger's.
    if (name := pipeline.get("name")) is not None and not is_name(name):
        raise InputError(
            f"{path}: {short(name)}: a name must have lower-case letters, digits and _ only"
        )
    for each in operators:
        check_operator(f"{path}: {short(each['name'])}", each["name"])
    found = Observation(
        description,
        read_table(directory / TABLE, WHOLE),
        read_table(directory / NOISE, NOISE_SCHEMA),
    )
    parts = [f"{name}_{part}" for name in found.operators for part in PARTS]
    for column in ("arrival_s", "ended_s", "outcome", "latency_s", "sent_s", *parts):
        if column not in found.requests.columns:
            raise InputError(f"{directory / TABLE}: has no column {column}")
    return found


def read_description(path: Path, otherwise: str) -> Any:
    """Read the description that a directory has; raise InputError if it is missing or no JSON.

    `otherwise` ends the sentence on a missing file.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: {no_directory(path.parent)}")
    if not path.is_file():
        raise InputError(f"{path.parent}: has no {path.name}{otherwise}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path}: cannot be read as JSON") from None


def read_table(path: Path, columns: Iterable[str]) -> pl.DataFrame:
    """Read a Parquet file; raise InputError if that is impossible, or it lacks a column."""
    try:
        # Polars reads from memory, so that its message does not depend on the place.
        frame = pl.read_parquet(BytesIO(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: cannot be read as Parquet: {one_line(error)}") from None
    for column in columns:
        if column not in frame.columns:
            raise InputError(f"{path}: has no column {column}")
    return frame


@dataclass(frozen=True)
class Passed:
    """A request that has ended, with its way through the operators; times are on one clock.

    Args:
        scheduled_s: when it was due.
        sent_s: when it was sent.
        ended_s: when its answer was complete, or it failed.
        completed: whether it was answered.
        visits: its visits by operator.
        back_s: time of the answer's way back; None if the starts of visits are of another clock.
        size: size of its content.
        bytes_out: bytes of its body.
        body: the answer.
        failure: why there is no answer.
    """

    scheduled_s: float
    sent_s: float
    ended_s: float
    completed: bool
    visits: Mapping[str, Visit]
    back_s: float | None = None
    size: float = 1.0
    bytes_out: int | None = None
    body: bytes | None = None
    failure: str = ""


def request_table(
    sent: Sequence[Sent],
    payloads: Sequence[Payload],
    scores: Sequence[Mapping[str, float]],
    operators: Sequence[str] = (),
) -> pl.DataFrame:
    """Return the table of requests that a client has sent and that have ended.

    Times are in seconds after the first scheduled request. The parts of a request add up to its
    latency, which counts from the scheduled time, if the service's clock is the client's; the first
    transfer then includes the time from the schedule to the sending. What a service did not tell is
    null, and so are all parts of a lost request.

    Args:
        sent: the requests by their numbers.
        payloads: what was sent.
        scores: how good each answer is; nothing for lost requests.
        operators: names of the operators; further ones that answers name come after these.
    """
    told = [visits_of(one.reply.timing) if one.reply.body is not None else {} for one in sent]
    passed = []
    for one, payload, visits in zip(sent, payloads, told, strict=True):
        found, back_s = placed(visits, one.scheduled_s, one.sent_s, one.ended_s)
        body, failure = one.reply.body, one.reply.failure
        times = (one.scheduled_s, one.sent_s, one.ended_s, body is not None)
        sizes = (payload.size, len(payload.body))
        passed.append(Passed(*times, found, back_s, *sizes, body, failure))
    frame = passed_table(passed, list(dict.fromkeys([*operators, *names(told)])))
    scored = list(dict.fromkeys(name for each in scores for name in each))
    return frame.with_columns(
        pl.Series(name, [each.get(name) for each in scores], pl.Float64) for name in scored
    )


def passed_table(passed: Sequence[Passed], operators: Sequence[str]) -> pl.DataFrame:
    """Return the table of requests that have ended, in seconds after the first was due."""
    zero = passed[0].scheduled_s
    replicas: dict[str, dict[str, int]] = {name: {} for name in operators}
    rows = []
    for number, one in enumerate(passed):
        row: dict[str, Any] = {
            "query": 0,
            "number": number,
            "arrival_s": one.scheduled_s - zero,
            "ended_s": one.ended_s - zero,
            "outcome": COMPLETED if one.completed else LOST,
            "deployment": 0,
            "latency_s": one.ended_s - one.scheduled_s if one.completed else None,
            "size": one.size,
            "length": 1.0,
            "allowance": 1.0,
        }
        on_host = one.back_s is not None  # Otherwise, the service's clock is another one.
        for name in operators:
            visit = one.visits.get(name, Visit())
            row |= {f"{name}_{part}": getattr(visit, part) for part in PARTS}
        row[f"{ANSWER}_transfer_s"] = one.back_s
        row["sent_s"] = one.sent_s - zero
        for name in operators:
            visit = one.visits.get(name, Visit())
            start = visit.start_s - zero if on_host and visit.start_s is not None else None
            row |= {
                f"{name}_started_s": start,
                f"{name}_cpu_s": visit.cpu_s,
                f"{name}_batch": visit.batch,
                f"{name}_replica": _numbered(replicas[name], visit.replica),
            }
        row |= {
            "bytes_out": one.bytes_out,
            "bytes_in": None if one.body is None else len(one.body),
            "answer": None if one.body is None else one.body.decode(errors="replace"),
            "failure": one.failure or None,
        }
        rows.append(row)
    whole = {f"{name}_{what}": pl.Int64 for name in operators for what in ("batch", "replica")}
    texts = dict.fromkeys(("outcome", "answer", "failure"), pl.String)
    counts = dict.fromkeys(("bytes_out", "bytes_in"), pl.Int64)
    types: Mapping[str, Any] = {**WHOLE, **whole, **texts, **counts}
    return pl.DataFrame(rows, {name: types.get(name, pl.Float64) for name in rows[0]})


def _numbered(known: dict[str, int], replica: str | None) -> int | None:
    """Return the number of a replica, in the order in which replicas first appear."""
    return None if replica is None else known.setdefault(replica, len(known))
