"""Changes of assumptions that may explain why our runs differ from the paper: a declared list.

Each change belongs to a row of ``docs/concepts/assumptions.md``, and has steps of growing distance
from the default. The list was fixed before any change was tried. See
`studies.common.cause_search` for how the smallest change is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from lab.common.errors import key_of
from lab.config.compose import compose
from lab.run_cache.jobs import Job

Settings = Callable[[tuple[str, ...]], Sequence[str]]
"""Returns further overrides for a run with given overrides; none if the change does not apply."""


@dataclass(frozen=True)
class Step:
    """How far a change goes."""

    words: str  # how far, within a sentence such as "arrivals are rarer: half as many"
    settings: Settings


@dataclass(frozen=True)
class Change:
    """A change of one assumption."""

    name: str
    assumption: str  # the beginning of its row in ``docs/concepts/assumptions.md``
    steps: tuple[Step, ...]  # of growing distance from the default


def always(*overrides: str) -> Settings:
    """Return settings that are the same for all runs."""
    return lambda _: overrides


def scaled(factor: float, key: str) -> Settings:
    """Return settings that multiply the value of a key, if a run has it as a positive number."""

    def settings(overrides: tuple[str, ...]) -> Sequence[str]:
        value = _value(overrides, key)
        if not isinstance(value, int | float) or not value > 0:
            return ()
        new = round(factor * value) if isinstance(value, int) else factor * value
        return [f"{key}={new:.6g}"]

    return settings


def longer(factor: float) -> Settings:
    """Return settings of a longer run, unless something happens at a fixed time."""

    def settings(overrides: tuple[str, ...]) -> Sequence[str]:
        return () if _value(overrides, "drift.events") else scaled(factor, "horizon_s")(overrides)

    return settings


def in_advance(share: float) -> Settings:
    """Return settings by which a share of each kind of machine is rented from the beginning."""

    def settings(overrides: tuple[str, ...]) -> Sequence[str]:
        nodes: dict[str, Any] = _value(overrides, "cluster.nodes") or {}
        return [
            f"cluster.nodes.{name}.standby={round(share * node['count'])}"
            for name, node in nodes.items()
            if round(share * node["count"]) > (node.get("standby") or 0)
        ]

    return settings


def instead(before: str, after: str) -> Settings:
    """Return settings that choose another option, for runs with the override `before`."""
    return lambda overrides: [after] if before in overrides else ()


def _factors(words: str, factors: Sequence[float], key: str) -> tuple[Step, ...]:
    return tuple(Step(words.format(factor), scaled(factor, key)) for factor in factors)


BOARDS = "boards for profiling: a provider has a few"
RATE = "rate of arrivals in scenes of the paper's figures"
CONTENT = "users of a data set differ as a Dirichlet concentration says"
CHANGES: tuple[Change, ...] = (
    Change(
        "there are more boards for profiling",
        BOARDS,
        (
            *_factors("{:g} times as many", (2.0, 4.0), "cluster.profiling.count"),
            Step(
                "as many as wanted, free", always("profiling=free", "cluster.profiling.lanes=100")
            ),
        ),
    ),
    Change(
        "searches have larger planning budgets",
        "planning seconds of a search",
        _factors("{:g} times the seconds", (2.0, 4.0, 12.0), "planner.budget_s"),
    ),
    Change(
        "waits for a profiling lane shorten searches less",
        "least part of a planning budget that is left after waits for a profiling lane",
        (
            Step("five rounds remain", always("cluster.profiling.least_search_rounds=5")),
            Step(
                "searches are not shortened",
                always("cluster.profiling.least_search_rounds=1000000"),
            ),
        ),
    ),
    Change(
        "Compass accepts configurations by the paper's rule",
        "rule by which Compass accepts configurations",
        (
            Step(
                "a t-test at 5 %, and the mean where it does not decide",
                instead("planner=compass", "planner=compass_t_test"),
            ),
        ),
    ),
    Change("arrivals are rarer", RATE, _factors("{:g} times", (0.5, 0.25), "workload.rate")),
    Change("arrivals are more frequent", RATE, _factors("{:g} times", (1.5, 3.0), "workload.rate")),
    Change(
        "queries stay longer",
        "stay of queries",
        _factors("{:g} times as long", (2.0, 4.0), "workload.lifetime_mean_s"),
    ),
    Change(
        "runs are longer",
        "length of runs",
        (Step("2 times as long", longer(2.0)), Step("4 times as long", longer(4.0))),
    ),
    Change(
        "users differ less in content",
        CONTENT,
        (
            Step("concentration 2", always("workload.content_concentration=2")),
            Step("concentration 20", always("workload.content_concentration=20")),
        ),
    ),
    Change(
        "users differ more in content",
        CONTENT,
        (
            Step("concentration 0.5", always("workload.content_concentration=0.5")),
            Step("concentration 0.1", always("workload.content_concentration=0.1")),
        ),
    ),
    Change(
        "links of users are better",
        "links of users",
        (
            Step("70 % WiFi, 20 % 4G, 10 % low-band 5G", always("network=home")),
            Step("WiFi only", always("network=wifi")),
        ),
    ),
    Change(
        "users have faster devices",
        "devices of users",
        (
            Step("half are Jetsons", always("workload.devices={phone:0.5,jetson:0.5}")),
            Step("all are Jetsons", always("workload.devices={jetson:1.0}")),
        ),
    ),
    Change(
        "the backhaul of a site is faster",
        "uplink of a site to the cloud",
        _factors("{:g} times as fast", (4.0, 100.0), "network.backhaul_bps"),
    ),
    Change(
        "latency bounds are looser",
        "bounds of queries on latency",
        _factors("{:g} times as long", (1.5, 3.0), "workload.slo_scale"),
    ),
    Change(
        "latency bounds are tighter",
        "bounds of queries on latency",
        _factors("{:g} times as long", (0.75, 0.5), "workload.slo_scale"),
    ),
    Change(
        "machines are rented in advance",
        "machines that are always rented",
        (Step("half of each kind", in_advance(0.5)), Step("all of them", in_advance(1.0))),
    ),
    Change(
        "machines and GPU instances are ready sooner",
        "without a Kubernetes operator, creating or destroying a GPU instance",
        (
            Step("GPU instances without an operator", always("switching=bare")),
            Step("machines boot at once, too", always("switching=free")),
        ),
    ),
)


def changed(job: Job, step: Step) -> Job | None:
    """Return a job with a step of a change, or None if the step changes nothing for it."""
    more = step.settings(job.overrides)
    keys = {key_of(override) for override in more}
    kept = tuple(each for each in job.overrides if key_of(each) not in keys)
    overrides = (*kept, *more)
    if not more or _tree(overrides) == _tree(job.overrides):
        return None
    return replace(job, overrides=overrides)


def _value(overrides: tuple[str, ...], key: str) -> Any:
    node: Any = _tree(overrides)
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


@cache
def _tree(overrides: tuple[str, ...]) -> Any:
    return OmegaConf.to_container(compose(overrides), resolve=True)
