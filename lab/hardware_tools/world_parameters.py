"""What makes the simulated world rough: each parameter, its values, and what it rests on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from scenarios.applications.application import Application
from scenarios.cluster import NOMINAL, Cluster
from scenarios.network import SPEED_TESTS, Network

HELD_OUT = "[traces held out](#links-against-recorded-traces)"
SWEPT = "assumption; [swept](evaluation.md#a-rougher-world)"

SMOOTH: Mapping[str, tuple[str, ...]] = {
    "links": ("network.capacity=speed_tests",),
    "switching": ("switching=free",),
    "services": (
        "cluster.service_cv=0",
        "cluster.speed_log_sd=0",
        "application.size_scales=all",
    ),
    "content": ("application.accuracy.rank_correlation=1",),
}
"""The options of the smooth world, by the part of the world that they set."""

STRAIGHT = "application.accuracy.spread=straight"
"""One more option of speech recognition's content."""


@dataclass(frozen=True)
class Parameter:
    """A key of the configuration.

    Args:
        key: its name.
        default: what it is in the shipped scenarios.
        smooth: what it was in version 0.1.
        rests_on: where the default comes from.
        checked: how its error is known, or that it is an assumption.
    """

    key: str
    default: Any
    smooth: Any
    rests_on: str
    checked: str


def parameters() -> Iterator[Parameter]:
    """Yield all parameters; the defaults are those of the classes that have them."""
    cluster = {each.name: each.default for each in fields(Cluster)}
    network = {each.name: each.default for each in fields(Network)}
    application = {each.name: each.default for each in fields(Application)}
    yield Parameter(
        "network.capacity",
        network["capacity"],
        SPEED_TESTS,
        "half of the recorded traces of each technology",
        HELD_OUT,
    )
    yield Parameter(
        "network.updown_correlation",
        "fitted",
        "none",
        "recordings of both directions of LTE and HSDPA",
        f"{HELD_OUT}; [swept](evaluation.md#a-rougher-world)",
    )
    yield Parameter(
        "network.discipline", network["discipline"], network["discipline"], "first come", SWEPT
    )
    starts = "mean of more than 300,000 starts of smaller machines (`machine_startup`)"
    for key, source in {
        "cloud_boot_s": starts,
        "edge_boot_s": "restarts of stopped machines (`machine_startup`)",
        "mig_create_s": "mean of 41 and 46 s, with a Kubernetes operator (`mig_reconfiguration`)",
        "mig_destroy_s": "part of `mig_create_s`",
        "load_bandwidth": "loads of a machine share its disk and host",
        "service_cv": "between single inferences on a GPU and on shared cores",
        "speed_log_sd": "differences of equal cards in supercomputers (Sinha et al., SC 2022)",
    }.items():
        yield Parameter(f"cluster.{key}", cluster[key], NOMINAL[key], source, SWEPT)
    yield Parameter(
        "application.size_scales",
        application["size_scales"],
        "all",
        "the share of a batch's time that does not grow with the batch (`gpu_latency`)",
        SWEPT,
    )
    yield Parameter(
        "application.accuracy.spread",
        "measured, of speech",
        "straight",
        "mean, quantiles and standard deviation of 6,400 clips",
        "equal to what was measured, for each stratum and configuration",
    )
    yield Parameter(
        "application.accuracy.rank_correlation",
        "0.87, and 0.94 within a stratum of VOiCES",
        1,
        "6,400 clips; applications other than speech: an assumption",
        SWEPT,
    )
