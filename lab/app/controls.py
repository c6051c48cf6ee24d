"""The controls of the page: which keys of a scenario they set, and to which values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import isfinite

from omegaconf import OmegaConf

from lab.common.errors import InputError, choices
from lab.common.options import groups
from lab.config.compose import compose

Value = float | int | str

SCENARIOS: Mapping[str, tuple[str, str]] = {
    "speech_small": ("compass", "videostorm"),
    "tracking_small": ("compass_15s", "videostorm_15s"),
    "chat_small": ("compass_15s", "videostorm_15s"),
}
"""The experiments that answer within a second or so, and the planners first compared in each."""
AT_FIRST: Mapping[str, Mapping[str, Value]] = {"speech_small": {"workload.rate": 0.05}}
"""Values that the page starts with instead of the experiment's: at half the rate of arrivals, runs
on speech take about as long as the others."""
MACHINES = ("g2-standard-8", "a2-highgpu-1g", "a2-ultragpu-1g", "a3-highgpu-1g")
NODES = ("edge", "cloud")
"""The names of the nodes in all shipped clusters."""
NOT_OFFERED = ("comparison", "ilp")
"""Beginnings of names in ``conf/planner``: of those that compare planners, and that take hours."""


@dataclass(frozen=True)
class Slider:
    """A number between two bounds.

    Args:
        key: key of the configuration.
        label: name on the page.
        unit: unit of the number.
        low: smallest number.
        high: largest number.
        step: distance of neighbouring numbers on the page; other numbers are allowed, too.
        default: number that the page starts with.
        whole: whether the number is a whole one.
    """

    key: str
    label: str
    unit: str
    low: float
    high: float
    step: float
    default: Value = 0.0
    whole: bool = False

    @property
    def positions(self) -> tuple[Value, ...]:
        """The numbers that the control can be moved to on the page."""
        steps = range(round((self.high - self.low) / self.step) + 1)
        found = (self.low + self.step * each for each in steps)
        return tuple(int(one) if self.whole else round(one, ROUNDED) for one in found)

    def read(self, text: str) -> Value:
        """Return the number that a text has; raise InputError if it is none or out of bounds."""
        try:
            found = int(text) if self.whole else float(text)
        except ValueError:
            found = float("nan")
        if not (isfinite(found) and self.low <= found <= self.high and len(text) <= MOST_DIGITS):
            kind = "a whole number" if self.whole else "a number"
            raise InputError(
                f"{self.key}={text}: must be {kind} from {self.low:g} to {self.high:g}"
                f"{self.unit and f' {self.unit}'}"
            )
        return found


@dataclass(frozen=True)
class Menu:
    """A choice of one name.

    Args:
        key: key of the configuration, or one of its groups.
        label: name on the page.
        options: names.
        default: name that the page starts with.
        labels: what the page shows for each name; the names by default.
    """

    key: str
    label: str
    options: tuple[str, ...]
    default: str
    labels: tuple[str, ...] = ()

    @property
    def positions(self) -> tuple[Value, ...]:
        """The names that can be chosen."""
        return self.options

    def read(self, text: str) -> Value:
        """Return the name that a text has; raise InputError for any other text."""
        if text not in self.options:
            raise InputError(f"{self.key}={text}: {choices(text, self.options)}")
        return text


Control = Slider | Menu
ROUNDED = 6
"""Digits after the point of the numbers on the page."""
MOST_DIGITS = 25
"""Largest number of characters of a number."""


def written(value: Value) -> str:
    """Return a value as a person would write it, which its control reads as the same value."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


@cache
def _mixes() -> Mapping[str, str]:
    """Return each option of the group ``network`` with its mix of links."""
    folder = files("conf") / "network"
    found = {}
    for name in groups()["network"]:
        mix = OmegaConf.create((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        parts = (f"{100 * share:g} % {link}" for link, share in mix.technologies.items())
        found[name] = f"{name}: {', '.join(parts)}"
    return found


@cache
def controls(experiment: str) -> Mapping[str, Control]:
    """Return the controls of an experiment by their keys, with the values at the start."""
    first = AT_FIRST.get(experiment, {})
    config = compose(
        [f"experiment={experiment}", *(f"{key}={written(one)}" for key, one in first.items())]
    )

    def own(key: str) -> float:
        return float(OmegaConf.select(config, key))

    def slider(
        key: str, label: str, unit: str, low: float, high: float, step: float, whole: bool = False
    ) -> Slider:
        default = int(own(key)) if whole else own(key)
        return Slider(key, label, unit, low, high, step, default, whole)

    def machine(node: str) -> Menu:
        key = f"cluster.nodes.{node}.machine"
        return Menu(key, f"type of machines: {node}", MACHINES, str(OmegaConf.select(config, key)))

    rate = own("workload.rate")
    machines = (
        part
        for node in NODES
        for part in (
            slider(f"cluster.nodes.{node}.count", f"machines: {node}", "", 1, 4, 1, True),
            machine(node),
        )
    )
    made: tuple[Control, ...] = (
        Menu("network", "links", tuple(_mixes()), "mobile", tuple(_mixes().values())),
        Menu("tiers", "classes of service", tuple(groups()["tiers"]), "application"),
        slider(
            "workload.rate",
            "arrivals",
            "queries/s",
            rate / 4,
            round(1.5 * rate, ROUNDED),
            rate / 20,
        ),
        slider("workload.lifetime_mean_s", "mean lifetime", "s", 90, 360, 30),
        slider("workload.slo_scale", "latency bounds times", "", 0.5, 2, 0.1),
        *machines,
        slider("cluster.nodes.cloud.standby", "machines on standby: cloud", "", 0, 4, 1, True),
        slider("horizon_s", "simulated time", "s", 300, 600, 60),
    )
    return {one.key: one for one in made}


@cache
def planners() -> tuple[str, ...]:
    """Return the names of the planners that can be compared."""
    return tuple(name for name in groups()["planner"] if not name.startswith(NOT_OFFERED))
