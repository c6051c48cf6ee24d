"""Scenarios that make no sense are refused in one sentence; the defaults make sense."""

import pytest
from worlds import scenario

from hardware_models.tables import TableSet, UserTable, using_tables
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Cluster, Node, Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.network import Network
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload


def test_devices_that_do_not_fit_the_tables_are_refused_before_any_is_drawn(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "name,family,chip,device,relative_speed,n_models,memory_bytes,memory_kind,accelerator\n"
        "Mine,phone,mine,mine,50,5,8000000000,assumption,Jetson Xavier\n",
        encoding="utf-8",
    )
    reason = "workload.devices.phone: unknown accelerator of Mine in table device_models"
    mine = TableSet({"device_models": UserTable(str(path), "merge")})
    with using_tables(mine), pytest.raises(ValueError, match=reason):
        Workload()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Workload(rate=-1), r"workload.rate=-1: must lie between 0 and"),
        (lambda: Workload(lifetime_mean_s=10), "workload.lifetime_mean_s=10: must be above"),
        (
            lambda: Workload(tiers={"free": Tier(weight=0)}),
            "workload.tiers: name at least one tier",
        ),
        (lambda: Workload(content_concentration=0), "workload.content_concentration=0"),
        (
            lambda: Workload(lifetime_mean_s=1e300),
            r"lifetime_mean_s=1e\+300: must lie between 0 and 1e\+09 s",
        ),
        # Sums of such weights are infinite.
        (
            lambda: Workload(devices={"phone": 1e308, "jetson": 1e308}),
            r"workload.devices\.phone=1e\+308: must lie between 0 and 1e\+09",
        ),
        (
            lambda: Workload(datasets={"VOiCES": 1e308, "LibriSpeech": 1e308}),
            r"workload.datasets\.VOiCES=1e\+308: must lie between 0 and 1e\+09",
        ),
        (
            lambda: Network({"WiFi": 1e308, "4G-LTE": 1e308}),
            r"network.technologies.WiFi=1e\+308: must lie between 0 and 1e\+09",
        ),
        (lambda: Tier(weight=1e308), r"weight=1e\+308: must lie between 0 and 1e\+09"),
        (
            lambda: scenario(1e9, workload=Workload(rate=10_000)),
            r"workload.rate=10000: of horizon_s=1000000000.0 that makes 1e\+13 queries",
        ),
        (
            lambda: Workload(datasets={"VOiCES": -1}),
            "workload.datasets.VOiCES=-1: must lie between",
        ),
        (
            lambda: Workload(devices={"phones": 1}),
            "workload.devices.phones: .*did you mean 'phone'",
        ),
        (lambda: Workload(devices={"phone": -1}), "workload.devices.phone=-1: must lie between"),
        (
            lambda: Network(capacity="trace"),
            r"network.capacity=trace: no such capacity; .*did you mean 'traces'",
        ),
        (
            lambda: Network(capacity="traces", autocorrelation=0.5),
            r"network.autocorrelation=0.5: needs network.capacity=speed_tests",
        ),
        (
            lambda: Network(capacity="speed_tests", updown_correlation=0.5),
            r"network.updown_correlation=0.5: needs network.capacity=traces",
        ),
        (
            lambda: Network(autocorrelation=1.0),
            r"network.autocorrelation=1.0: must be 0 or more, and below 1, or null",
        ),
        (lambda: Tier(latency_s=0), "latency_s=0: must be above 0"),
        (lambda: Tier(weight=-1), "weight=-1"),
        (
            lambda: Tier(latency_s=1e11),
            "latency_s=.*: must be above 0, and 1e\\+08 s or less, or null",
        ),
        (
            lambda: Network(backhaul_bps=1e30),
            r"network\.backhaul_bps=1e\+30: must lie between 8 and 1e\+15 bit/s",
        ),
        (lambda: Node(boot_s=1e300), r"^boot_s=1e\+300: must lie between 0 and 1e\+08 s"),
        (lambda: Node(cpu_relative_speed=1e-9), "cpu_relative_speed=1e-09: must lie between 0.001"),
        (lambda: Profiling(checkpoint_every_s=1e300), "checkpoint_every_s=.* 0.001 and 1e.08 s"),
        *(
            (
                lambda key=key: Cluster({"a": Node()}, **{key: 1e300}),
                f"cluster.{key}=.* must lie between .* and 1e.08 s",
            )
            for key in ("tick_s", "mig_create_s", "mig_destroy_s", "drain_timeout_s")
        ),
        (
            lambda: Cluster({"a": Node()}, load_bytes_per_s=1e-300),
            "cluster.load_bytes_per_s=1e-300: must be 1000 bytes/s or more",
        ),
        (lambda: Cluster({}), "an empty cluster can run nothing"),
        (lambda: Cluster({"device": Node()}), "this name is taken"),
        (lambda: Cluster({"a": Node("cloud"), "b": Node("edge")}), "edge nodes before cloud"),
        (lambda: Node(count=0), "count=0: must be 1 machine or more"),
        (lambda: Node("fog"), "tier=fog: no such tier; choose from edge, cloud"),
        (lambda: Node(machine="a2-highgpu-1"), "did you mean 'a2-highgpu-1g'"),
        (lambda: Node(standby=2), "standby=2: must lie between 0 and the node's count, 1"),
        (lambda: DriftEvent("flood"), "kind=flood: no such kind; choose from"),
        (lambda: DriftEvent(factor=0), r"factor=0: must be above 0, and 1 or less"),
        (lambda: DriftEvent("machine_failure"), "needs the node's name"),
        (lambda: Network({}), "network.technologies: name at least one"),
        (lambda: Network({"WiFi": 0.0}), "network.technologies: name at least one"),
        (
            lambda: Network({"WiFi": 1.0, "4G-LTE": -1.0}),
            "network.technologies.4G-LTE=-1.0: must lie between 0 and",
        ),
        (lambda: Network({"4G": 1.0}), "did you mean"),
        (
            lambda: shipped_application("speech_recognition", requests_per_s=0),
            "application.requests_per_s=0",
        ),
        (
            lambda: shipped_application("speech_recognition", requests_per_s=1e12),
            r"application\.requests_per_s=1000000000000\.0: must be above 0, and 10000 req",
        ),
        (
            lambda: shipped_application("speech_recognition", window_s=1e300),
            r"application\.window_s=1e\+300: must lie between 0 and 1e\+08 s",
        ),
        (
            lambda: shipped_application("speech_recognition", answer_bytes=1e300),
            r"application\.answer_bytes=1e\+300: must lie between 0 and 1e\+09 bytes",
        ),
        (
            lambda: shipped_application("speech_recognition", window_s=10),
            "too short to judge a query by",
        ),
        (lambda: scenario(-1.0), "horizon_s=-1.0: must be above 0"),
        (lambda: scenario(tick_s=0.3), "cluster.tick_s=0.3: must divide application.window_s, 40"),
        # A third of a second is no whole number of nanoseconds, though 120 of them make a window.
        (lambda: scenario(tick_s=1 / 3), "cluster.tick_s=0.33.*: must divide"),
        (lambda: scenario(workload=Workload(datasets={"Voices": 1.0})), r"did you mean 'VOiCES'"),
        (
            lambda: scenario(drift=Drift([DriftEvent("machine_failure", node="moon")])),
            "drift.events.0.node=moon: the cluster has the nodes edge, cloud; did you mean ",
        ),
        (
            lambda: scenario(drift=Drift([DriftEvent("machine_failure", node="edge", machine=1)])),
            "drift.events.0.machine=1: node edge has the machines 0 to 0",
        ),
    ],
)
def test_nonsense_is_refused_in_one_sentence(make, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_scenario_defaults_run():
    made = Scenario(shipped_application("speech_recognition"), Cluster({"cloud": Node()}))
    assert made.horizon_s == 3600
