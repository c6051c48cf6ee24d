"""Scenarios that make no sense are refused in one sentence; the defaults make sense.

The corpus of bad inputs has what commands can ask for.
"""

import pytest
from worlds import scenario

from hardware_models.tables import TableSet, UserTable, using_tables
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Cluster, Node
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
        (lambda: Workload(tiers={"free": Tier(weight=0)}), "workload.tiers: .*at least one tier"),
        # Sums of such weights are infinite.
        (lambda: Tier(weight=1e308), r"weight=1e\+308: .* 0 and 1e\+09"),
        (lambda: Node(boot_s=1e300), r"^boot_s=1e\+300: .* 0 and 1e\+08 s"),
        (lambda: Node("fog"), "^tier=fog: .* edge, cloud"),
        (lambda: shipped_application("speech_recognition", window_s=10), "window_s=10: .*requests"),
        (lambda: scenario(-1.0), "horizon_s=-1.0: .* 0"),
        # A third of a second is no whole number of nanoseconds, though 120 of them make a window.
        (lambda: scenario(tick_s=1 / 3), "cluster.tick_s=0.33.*: must divide"),
        (lambda: scenario(workload=Workload(datasets={"Voices": 1.0})), "did you mean 'VOiCES'"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(make, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_scenario_defaults_run():
    made = Scenario(shipped_application("speech_recognition"), Cluster({"cloud": Node()}))
    assert made.horizon_s == 3600
