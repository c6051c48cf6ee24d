"""The allocations from which the plans of a plan space are made."""

from dataclasses import dataclass

from scenarios.applications.pipeline import MOST_BATCH

MOST_REPLICAS = 1000
MOST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Choices:
    """The allocations that the plans of a space can give an operator that is not on the device.

    The number of plans grows as the product of the numbers of choices, raised to the power of the
    number of operators on GPUs. The default choices make the smallest space.

    Args:
        thread_percents: percentages of an instance's threads, for operators of kind ``gpu``.
        max_batches: largest batch sizes, for operators of kind ``gpu``, and for those of kind
            ``cpu`` up to the largest size that their application measured (``batch_factor``).
        replicas: numbers of replicas, for operators of kinds ``gpu`` and ``llm``.
        cores: numbers of cores, one for each replica, for operators of kind ``cpu``.
        max_wait_s: longest times in seconds that a server waits for a full batch; they apply only
            where the largest batch size is above 1.

    Raises:
        ValueError: a value is out of range, or a parameter is empty.
    """

    thread_percents: tuple[int, ...] = (100,)
    max_batches: tuple[int, ...] = (1,)
    replicas: tuple[int, ...] = (1,)
    max_wait_s: float = 0.0
    cores: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name, most in (
            ("thread_percents", 100),
            ("max_batches", MOST_BATCH),
            ("replicas", MOST_REPLICAS),
            ("cores", MOST_REPLICAS),
        ):
            values = tuple(getattr(self, name))  # Parameter files give lists.
            object.__setattr__(self, name, values)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}={values}: name at least one, and each once")
            if not all(type(each) is int and 1 <= each <= most for each in values):
                raise ValueError(f"{name}={values}: whole numbers from 1 to {most}")
        if not 0 <= self.max_wait_s <= MOST_WAIT_S:
            raise ValueError(f"max_wait_s={self.max_wait_s}: must lie in 0 to {MOST_WAIT_S:g} s")


DEFAULT_CHOICES = Choices()
"""The default: one replica per operator; only language models serve several requests at once."""
