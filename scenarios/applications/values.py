"""Values that nobody can change, which the simulator and planners share."""

from dataclasses import make_dataclass
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=Any)


def value(kind: Kind) -> Kind:
    """Decorate a named tuple that the simulator and planners share, such as a plan.

    Verdicts and prices are worked out from such values. A frozen dataclass would not do, because
    ``object.__setattr__`` changes it. The decorator lets ``dataclasses.replace`` and
    ``dataclasses.fields`` accept the tuple, so that planners can use them on every object of the
    planning interface.
    """
    shown = [
        (name, hint, kind._field_defaults[name]) if name in kind._field_defaults else (name, hint)
        for name, hint in kind.__annotations__.items()
    ]
    made: Any = make_dataclass(kind.__name__, shown)
    kind.__dataclass_fields__ = made.__dataclass_fields__
    return kind
