"""Pipelines, which are graphs of operators, and the knobs that configure the operators."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, product
from typing import Literal, NamedTuple, get_args

from scenarios.applications.nodes import choose
from scenarios.applications.values import value
from scenarios.numerics.distributions import Constant, Variability

KnobValue = int | str
BatchTime = Literal["longest", "average"]
LONGEST, AVERAGE = BATCH_TIMES = get_args(BatchTime)
"""What the time of a batch is a multiple of: the time of its longest member, as of items that a GPU
pads to equal size, or of its average member, as of items that code handles one after the other."""
MOST_BATCH = 1024
"""Largest allowed size of a batch."""
ANSWER = "answer"
"""The name of the answer's transfer in results, in place of an operator's name."""


@dataclass(frozen=True)
class Knob:
    """A setting of an operator, for which a plan chooses a value.

    Args:
        name: unique within the application.
        choices: allowed values. The richest is first: the most costly and usually most accurate.
            Planners know this order, but nothing else about a value before profiling.
    """

    name: str
    choices: tuple[KnobValue, ...]


@dataclass(frozen=True)
class Operator:
    """One stage of a pipeline.

    Args:
        name: unique within the application.
        kind: ``"cpu"`` for classical code, ``"gpu"`` for a neural network, or ``"llm"`` for a
            language model that generates token by token. A device without an accelerator runs
            ``"cpu"`` and ``"gpu"`` operators on its processor, and cannot run ``"llm"`` operators.
        knobs: the knobs that belong to this operator.
        variability: distribution of the service times of requests of equal size, relative to their
            mean; for a language model, distribution of the numbers of generated tokens. Operators
            vary independently of each other.
        after: names of its predecessors, each of which sends it a message; None means the operator
            listed before it.
        batch_time: whether the time of a batch is a multiple of the time of its ``"longest"`` or
            its ``"average"`` member; it does not matter for a language model.
    """

    name: str
    kind: Literal["cpu", "gpu", "llm"]
    knobs: tuple[Knob, ...] = ()
    variability: Variability = Constant()
    after: tuple[str, ...] | None = None
    batch_time: BatchTime = "longest"


@value
class Configuration(NamedTuple):
    """A value for every knob of an application.

    Args:
        index: index among the application's configurations.
        values: one value per knob, in the order of ``Pipeline.knobs``.
    """

    index: int  # type: ignore[assignment]  # hides a method of tuples
    values: tuple[KnobValue, ...]

    def __str__(self) -> str:
        return "/".join(str(value) for value in self.values)


class Path(NamedTuple):
    """A path through a pipeline, from the request to the answer.

    Args:
        operators: indices of the operators on the path.
        edges: indices of the edges on the path, including those of the request and the answer.
    """

    operators: tuple[int, ...]
    edges: tuple[int, ...]


@dataclass(frozen=True)
class Pipeline:
    """The public part of an application: its operators and their knobs.

    Args:
        name: name of the application.
        operators: the operators; each comes after its predecessors. The first receives the request,
            the last returns the answer, and all others lie on a path between these two.

    Raises:
        ValueError: the operators are not as described, one of them names a predecessor twice, or
            one is named ``"answer"``.
    """

    name: str
    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        if ANSWER in [operator.name for operator in self.operators]:
            raise ValueError(
                f"application.operators.{ANSWER}: results call the way back to the device so; "
                "give the operator another name"
            )
        self._check_order()

    def _check_order(self) -> None:
        names = [operator.name for operator in self.operators]
        followed: set[str] = set()
        for at, operator in enumerate(self.operators):
            where = f"application.operators.{operator.name}"
            after = names[max(0, at - 1) : at] if operator.after is None else operator.after
            given = f"{where}.after=[{', '.join(after)}]"
            if at == 0 and after:
                raise ValueError(f"{given}: the first operator gets the request and awaits none")
            if at > 0 and not after:
                raise ValueError(
                    f"{given}: only {names[0]}, the first, gets the request; name at least one of "
                    f"{', '.join(names[:at])}"
                )
            for each in after:
                if each not in names[:at]:
                    raise ValueError(
                        f"{given}: {each} does not stand before {operator.name}; "
                        f"{choose(each, names[:at])}"
                    )
            if len(set(after)) < len(after):
                raise ValueError(f"{given}: must not name an operator twice")
            followed.update(after)
        for name in names[:-1]:
            if name not in followed:
                raise ValueError(
                    f"application.operators.{name}: nothing comes after it; only {names[-1]}, the "
                    f"last, returns the answer, so that {name} must stand in the after of another"
                )

    @cached_property
    def after(self) -> tuple[tuple[int, ...], ...]:
        """For each operator, the indices of its predecessors, in the declared order."""
        number = {operator.name: at for at, operator in enumerate(self.operators)}
        return tuple(
            (() if at == 0 else (at - 1,))
            if operator.after is None
            else tuple(number[name] for name in operator.after)
            for at, operator in enumerate(self.operators)
        )

    @cached_property
    def edges(self) -> tuple[tuple[int | None, int], ...]:
        """The sender and the receiver of every message, sorted by receiver.

        The first edge is that of the request, whose sender is None. In a chain, edge i leads to
        operator i. The edge of the answer is not included here. Arrays that include it have it
        last.
        """
        return (
            (None, 0),
            *((earlier, at) for at, some in enumerate(self.after) for earlier in some),
        )

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Every path from the request to the answer; a chain has only one."""
        to: list[list[Path]] = [[] for _ in self.operators]
        for edge, (earlier, at) in enumerate(self.edges):
            before = [Path((), ())] if earlier is None else to[earlier]
            to[at] += [Path((*path.operators, at), (*path.edges, edge)) for path in before]
        return tuple(Path(path.operators, (*path.edges, len(self.edges))) for path in to[-1])

    @cached_property
    def knobs(self) -> tuple[Knob, ...]:
        """All knobs, in pipeline order."""
        return tuple(knob for operator in self.operators for knob in operator.knobs)

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every combination of knob values, the richest first."""
        combinations = product(*(knob.choices for knob in self.knobs))
        return tuple(Configuration(i, values) for i, values in enumerate(combinations))

    @cached_property
    def own_knobs(self) -> tuple[range, ...]:
        """For each operator, the indices of its own knobs."""
        ends = accumulate(len(operator.knobs) for operator in self.operators)
        return tuple(
            range(end - len(operator.knobs), end)
            for operator, end in zip(self.operators, ends, strict=True)
        )

    @cached_property
    def upstream_knobs(self) -> tuple[tuple[int, ...], ...]:
        """For each operator, the knobs that determine its work: its own and all upstream knobs.

        They are indices of knobs in ascending order. In a chain, these are all knobs up to its own.
        """
        found: list[tuple[int, ...]] = []
        for own, some in zip(self.own_knobs, self.after, strict=True):
            found.append(tuple(sorted({*own, *(knob for one in some for knob in found[one])})))
        return tuple(found)

    @cached_property
    def work_numbers(self) -> tuple[tuple[int, ...], ...]:
        """A number for each configuration and operator; numbers are equal if the work is equal.

        Work is equal if the operator and its `operator_key` are the same.
        """
        known: dict[tuple[int, tuple[KnobValue, ...]], int] = {}
        return tuple(
            tuple(
                known.setdefault((at, self.operator_key(at, configuration)), len(known))
                for at in range(len(self.operators))
            )
            for configuration in self.configurations
        )

    def operator_key(self, operator: int, configuration: Configuration) -> tuple[KnobValue, ...]:
        """Return the values of the operator's own and upstream knobs, which determine its work.

        Queries with equal keys can share a station of the operator. A profiling run can reuse
        earlier results of the operator with an equal key.
        """
        return tuple(configuration.values[knob] for knob in self.upstream_knobs[operator])

    def configuration(self, **values: KnobValue) -> Configuration:
        """Return the configuration with the given values, which must include one for every knob.

        Raises:
            KeyError: a knob is missing or unknown, or a value is not one of its choices.
        """
        names = [knob.name for knob in self.knobs]
        if sorted(values) != sorted(names):
            raise KeyError(f"{self.name} has the knobs {names}, not {sorted(values)}")
        wanted = tuple(values[name] for name in names)
        for configuration in self.configurations:
            if configuration.values == wanted:
                return configuration
        raise KeyError(f"{self.name} has no configuration {wanted}")
