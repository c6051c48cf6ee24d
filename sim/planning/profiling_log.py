"""The profiling log: one record for each profiling run, so that few results are lost in a crash.

When a planner's simulated process crashes, the planner falls back to the last checkpoint. When the
simulator's own process is killed, a new run of the same configuration reads the records from disk,
one per line.
"""

import json
from base64 import b64decode, b64encode
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import index

import numpy as np
from numpy.typing import NDArray

from scenarios.numerics import Floats, Ints

Owner = tuple[str | int, ...]

ITEMS, VALUES = np.dtype("<i4"), np.dtype("<f8")


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """The result of one profiling run of a configuration with N operators."""

    # Owner of the items: ``("query", number)``, followed by ``("renewal", count)`` or ``("fresh",
    # time in ns)`` for later data; or ``("data set", name)``.
    owner: Owner
    configuration: int  # index of the configuration
    learned_ns: int  # end of the run, by its search's clock
    items: Ints  # numbers of the items, of shape (m,)
    accuracy: Floats  # accuracy on each item, of shape (m,)
    operator_time_s: Floats  # profiled time of each operator on each item, of shape (m, N)

    def line(self) -> bytes:
        """Return the record as a line of JSON, with arrays as little-endian numbers in base64.

        Decimal text would take ten times as long to write, and would not be more exact.
        """
        return (
            b'{"owner":%s,"configuration":%d,"learned_ns":%d,"items":"%s","accuracy":"%s",'
            b'"operator_time_s":"%s"}\n'
        ) % (
            json.dumps(self.owner).encode(),
            self.configuration,
            self.learned_ns,
            _packed(self.items, ITEMS),
            _packed(self.accuracy, VALUES),
            _packed(self.operator_time_s, VALUES),
        )

    @classmethod
    def from_line(cls, line: bytes) -> "ProfileRecord":
        """Return the record that is written on a line.

        Raises:
            ValueError: the line is not a record.
        """
        try:
            fields = json.loads(line)
            items = np.frombuffer(b64decode(fields["items"]), ITEMS).astype(np.int64)
            accuracy = np.frombuffer(b64decode(fields["accuracy"]), VALUES).astype(np.float64)
            times_s = np.frombuffer(b64decode(fields["operator_time_s"]), VALUES).astype(np.float64)
            owner = tuple(fields["owner"])
            configuration, learned_ns = map(index, (fields["configuration"], fields["learned_ns"]))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"no record of a profiling run: {error}") from None
        if not (
            isinstance(fields["owner"], list) and all(isinstance(one, str | int) for one in owner)
        ):
            raise ValueError(f"no record of a profiling run: owner={fields['owner']}")
        if max(abs(configuration), abs(learned_ns)) >= 2**63:
            raise ValueError("no record of a profiling run: its numbers are too large")
        if not len(items) or len(accuracy) != len(items) or len(times_s) % len(items):
            raise ValueError("no record of a profiling run: its arrays do not fit each other")
        return cls(
            owner, configuration, learned_ns, items, accuracy, times_s.reshape(len(items), -1)
        )


def _packed(array: NDArray[np.generic], kind: np.dtype[np.generic]) -> bytes:
    return b64encode(array.astype(kind, copy=False).tobytes())


class ProfilingLog:
    """The profiling results of a run and of an earlier, interrupted run of the same experiment.

    Two runs with the same configuration and seed make the same profiling runs in the same order. So
    `recall` returns each of the ``earlier`` records once, in the order in which they were written.
    ``keep`` is called with each new record. ``restored`` is the number of returned records, and
    ``measured`` is the number of new ones.
    """

    def __init__(
        self,
        earlier: Iterable[ProfileRecord] = (),
        keep: Callable[[ProfileRecord], None] = lambda _: None,
    ) -> None:
        self._earlier: dict[tuple[Owner, int, bytes], deque[ProfileRecord]] = defaultdict(deque)
        for record in earlier:
            key = record.owner, record.configuration, record.items.tobytes()
            self._earlier[key].append(record)
        self._keep = keep
        self.restored = 0
        self.measured = 0

    def recall(self, owner: Owner, configuration: int, items: Ints) -> ProfileRecord | None:
        """Return the earlier run's next record of this owner, configuration and items, if any."""
        if not self._earlier or not len(items):
            return None
        key = owner, configuration, items.tobytes()
        records = self._earlier.get(key)
        if not records:
            return None
        record = records.popleft()
        if not records:
            del self._earlier[key]
        self.restored += 1
        return record

    def note(self, record: ProfileRecord) -> None:
        """Add a record; a record without items is ignored."""
        if len(record.items):
            self.measured += 1
            self._keep(record)
