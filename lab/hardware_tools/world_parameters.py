"""What makes the simulated world rough: each parameter, its values, and what it rests on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from scenarios.applications.application import Application
from scenarios.cluster import NOMINAL, Cluster
from scenarios.network import SPEED_TESTS, Network

HELD_OUT = "measured; compared with [traces held out](#links-against-recorded-traces)"
SWEEP = "[swept](evaluation.md#a-rougher-world)"
SWEPT = f"assumption; {SWEEP}"
LIKE_SMALLER = f"measured; that machines with GPUs boot alike is an assumption; {SWEEP}"
ON_STANDBY = (
    "assumption; matters only after failures, as edge machines of shipped clusters are on standby"
)

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
        "null: fitted",
        "unused; both directions are independent",
        "recordings of both directions of LTE and HSDPA",
        f"{HELD_OUT}; an assumption for other links; {SWEEP}",
    )
    yield Parameter(
        "network.discipline",
        network["discipline"],
        network["discipline"],
        "messages cross a link one after the other",
        SWEPT,
    )
    for key, source, checked in (
        (
            "cloud_boot_s",
            "mean of more than 300,000 starts of smaller machines (`machine_startup`)",
            LIKE_SMALLER,
        ),
        ("edge_boot_s", "restarts of stopped cloud machines (`machine_startup`)", ON_STANDBY),
        (
            "mig_create_s",
            "mean of two runs, 41 and 46 s, with a Kubernetes operator (`mig_reconfiguration`)",
            f"measured, but by two single runs; {SWEEP}",
        ),
        ("mig_destroy_s", "part of `mig_create_s`", f"assumption; {SWEEP} by `switching=bare`"),
        ("load_bandwidth", "loads of a machine share its disk and host", SWEPT),
        ("service_cv", "hardly any spread on a GPU alone, more on shared cores", SWEPT),
        (
            "speed_log_sd",
            "differences of equal cards in supercomputers (Sinha et al., SC 2022)",
            SWEPT,
        ),
    ):
        yield Parameter(f"cluster.{key}", cluster[key], NOMINAL[key], source, checked)
    yield Parameter(
        "application.size_scales",
        application["size_scales"],
        "all",
        "a request of twice the size takes as long as a batch of two (`gpu_latency`)",
        SWEPT,
    )
    yield Parameter(
        "application.accuracy.spread",
        "measured, in speech recognition",
        "straight",
        "mean, quantiles and standard deviation of 6,400 clips",
        "measured for VOiCES, stratum by stratum; an assumption for other data sets",
    )
    yield Parameter(
        "application.accuracy.rank_correlation",
        "0.87, or 0.94 within a stratum of VOiCES",
        1,
        "6,400 clips of VOiCES",
        f"measured for VOiCES; an assumption for everything else; {SWEEP}",
    )
