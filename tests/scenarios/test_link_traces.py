"""Recorded links: what is read from files, how it is replayed, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from worlds import scenario

from hardware_models.links.technologies import link_model
from scenarios.derivation import _generated_traces as generated_traces
from scenarios.link_traces import (
    PACKET_BITS,
    LinkTrace,
    Recording,
    each_second,
    load_mahimahi,
    load_rate_csv,
    recording,
)
from scenarios.network import Network
from scenarios.queries import births
from scenarios.workload import Workload

REPLAYED = Path(__file__).parents[2] / "conf" / "network" / "replayed.yaml"


@pytest.fixture
def written(tmp_path):
    def write(text, name="trace"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("header", ["", "time_s,rate_bps\n", "Time_s, Rate_bps\n", "\ufeff"])
def test_csv_is_read_with_or_without_header(written, header):
    times, rates = load_rate_csv(written(f"{header}0,1e6\n\n0.5,2e6\n2,0\n"))
    assert times.tolist() == [0, 0.5, 2]
    assert rates.tolist() == [1e6, 2e6, 0]


def test_mahimahi_counts_packets_by_second(written):
    # 3 in the first second, its edge included, none in the second, 2 in what there is of the third.
    seconds, rates = load_mahimahi(written("1\n1\n1000\n2100\n2500\n"))
    assert seconds.tolist() == [0, 1, 2]
    assert rates.tolist() == [3 * PACKET_BITS, 0, 2 * PACKET_BITS]


@given(st.lists(st.integers(1, 20_000), min_size=1).map(sorted))
def test_mahimahi_conserves_packets(tmp_path_factory, stamps):
    path = tmp_path_factory.mktemp("traces") / "trace"
    path.write_text("\n".join(map(str, stamps)))
    _, rates = load_mahimahi(path)
    length_s = min(1, stamps[-1] / 1000)
    assert (rates * length_s).sum() / PACKET_BITS == pytest.approx(len(stamps))


def test_a_trace_of_one_packet_a_millisecond_is_12_mbps(written):
    assert load_mahimahi(written("1\n"))[1].tolist() == [12e6]


def test_rates_hold_until_the_next_time():
    # From 10 s on: 0.5 s at 4, 1 s at 8, 0.5 s at 2 (the last holds for the median step, 0.75 s).
    series = each_second(np.array([10, 10.5, 11.5]), np.array([4.0, 8.0, 2.0]), 10)
    assert series.tolist() == [6.0, 5.0]


@pytest.mark.parametrize(
    ("load", "text", "reason"),
    [
        (load_rate_csv, "0,1\n1,fast\n", r"trace, line 2: '1,fast' is no pair"),
        (load_rate_csv, "5\n", "line 1: '5' is no pair.* of Mahimahi needs format: mahimahi"),
        (load_rate_csv, "0,1,2\n", r"line 1: '0,1,2' is no pair"),
        (load_rate_csv, "0,1\n1,-5\n", r"line 2: '1,-5' must hold a finite time and a rate of 0"),
        (load_rate_csv, "0,1\n1,nan\n", "line 2: '1,nan' must hold"),
        (load_rate_csv, "0,1\n1,1e21\n", r"line 2: rate 1e\+21 bit/s must be 1e\+15 bit/s or less"),
        (load_rate_csv, "1,1\n\n1,2\n", "line 3: time 1 s must be after 1"),
        (
            load_rate_csv,
            "time_s,rate_mbps\n0,20\n1,30\n",
            "trace, line 1: the header is 'time_s,rate_mbps' and must be time_s,rate_bps, for sec",
        ),
        (load_rate_csv, "time_ms,rate_bps\n0,1\n1,2\n", "the header is 'time_ms,rate_bps' and"),
        (load_rate_csv, "0,fast\n1,2\n2,3\n", "line 1: '0,fast' is no pair"),
        (load_rate_csv, "0,1\n" + "1" * 200_000, r"line 2: field larger than field limit"),
        (load_rate_csv, "time_s,rate_bps\n", "holds fewer than two lines"),
        (load_mahimahi, "1\n1.5\n", "line 2: '1.5' is no whole number"),
        (load_mahimahi, "5\n4\n", "line 2: time 4 ms must not be before 5"),
        (load_mahimahi, "\n", "holds no time after 0 ms"),
        (load_mahimahi, "900000000\n", "ends at 900000000 ms, which is more than a day"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(written, load, text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        load(written(text))
    assert "\n" not in str(caught.value)


def test_replay_loops_and_keeps_both_directions_together():
    recorded = Recording(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0]), 0.05)
    up, down = recorded.replay_bps(7, start=0.8)
    assert up.tolist() == [4, 1, 2, 3, 4, 1, 2]
    assert down.tolist() == [20, 10, 20, 10, 20, 10, 20]
    assert recorded.nominal_uplink_bps == 2.5
    assert recorded.nominal_downlink_bps == 15


# Networks


def network(written, **changes):
    up = written("".join(f"{t},{8000 * (t + 1)}\n" for t in range(50)), "up.csv")
    down = written("".join(f"{t},{80000 * (t + 1)}\n" for t in range(50)), "down.csv")
    trace = LinkTrace(**{"uplink": up, "downlink": down, "rtt_s": 0.04, **changes})
    shares = {"tram": 1.0, "WiFi": 1.0}
    return Network(technologies=shares, traces={"tram": trace}, capacity="speed_tests")


def test_queries_replay_a_trace_from_random_seconds(written):
    made = replace(scenario(200.0, workload=Workload(rate=1.0)), network=network(written))
    firsts = set()
    for query, truth in births(made, 1):
        if query.technology == "tram":
            assert truth.access_rtt_s == 0.04
            steps = np.diff(truth.uplink_bytes_per_s)
            assert set(steps.tolist()) <= {1000, -49_000}
            assert (truth.downlink_bytes_per_s == 10 * truth.uplink_bytes_per_s).all()
            firsts.add(int(truth.uplink_bytes_per_s[0]))
    assert len(firsts) > 20
    assert made.network.link("tram").nominal_uplink_bps == 8000 * 25.5
    assert made.network.link("WiFi").nominal_downlink_bps == 30.762e6


def test_a_trace_disturbs_no_other_query(written):
    alone = Network(technologies={"tram": 1.0, "WiFi": 1.0}, traces=network(written).traces)
    other = Network(technologies={"4G-LTE": 1.0, "WiFi": 1.0})
    worlds = [
        births(replace(scenario(100.0, workload=Workload(rate=1.0)), network=each), 1)
        for each in (alone, other)
    ]
    for (query, truth), (same, expected) in zip(*worlds, strict=True):
        assert truth.departure_s == expected.departure_s
        if query.technology == "WiFi":
            assert same.technology == "WiFi"
            assert (truth.uplink_bytes_per_s == expected.uplink_bytes_per_s).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "cvs"}, "network.traces.tram: .*did you mean 'csv'"),
        ({"rtt_s": -1.0}, "network.traces.tram: rtt_s=-1.0: must be 0 s or more"),
        ({"rtt_s": 50.0}, "rtt_s=50.0: must be 5 s or less; did you mean 0.05\\?"),
        ({"downlink": ""}, "network.traces.tram: downlink is missing; name the file of a trace"),
    ],
)
def test_bad_traces_are_refused(written, changes, reason):
    with pytest.raises(ValueError, match=reason):
        network(written, **changes)


def test_a_trace_without_any_capacity_is_refused(written):
    path = written("0,0\n1,0\n")
    with pytest.raises(ValueError, match="has a rate of 0 throughout"):
        network(written, uplink=path)


def test_a_trace_knows_its_steps(written):
    assert recording(LinkTrace(written("0,9\n1,9\n"), written("0,9\n7,9\n", "b.csv"))).step_s == 7


def test_names_and_files_of_traces_are_checked(written, tmp_path):
    path = written("0,1\n1,2\n")
    with pytest.raises(ValueError, match=r"network.traces.WiFi: this name is taken"):
        Network(traces={"WiFi": LinkTrace(path, path)})
    with pytest.raises(ValueError, match=r"network.traces.bus: .*nowhere: no such file"):
        Network(traces={"bus": LinkTrace(path, str(tmp_path / "nowhere"))})
    with pytest.raises(ValueError, match=r"network.technologies.buss: .*did you mean 'bus'"):
        Network(technologies={"buss": 1.0}, traces={"bus": LinkTrace(path, path)})


def test_directions_are_of_one_clock(written):
    """One was recorded for longer than the other."""
    up = written("".join(f"{at},{1000 + at}\n" for at in range(20)), "up.csv")
    down = written("".join(f"{at},{2000 + at}\n" for at in range(5, 15)), "down.csv")
    found = recording(LinkTrace(up, down))
    assert found.uplink.tolist() == [1000 + at for at in range(5, 20)]
    assert found.downlink.tolist() == [2000 + at for at in range(5, 15)]
    late = written("100,1\n110,2\n", "late.csv")
    with pytest.raises(ValueError, match=r"up.csv: spans less than a second after 100 s, when"):
        recording(LinkTrace(up, late))


def test_shipped_traces_are_what_the_model_generates(tmp_path):
    for path in generated_traces.write(tmp_path):
        made, shipped = (load_rate_csv(each) for each in (str(path), path.stem))
        assert shipped[1] == pytest.approx(made[1], rel=2e-3), path.name


def test_the_shipped_scenario_replays_generated_links():
    said = OmegaConf.to_container(OmegaConf.load(REPLAYED))
    traces = {name: LinkTrace(**trace) for name, trace in said["traces"].items()}
    network = Network(said["technologies"], traces=traces)
    links = [network.link(name) for name in network.technologies]
    assert all(isinstance(link, Recording) for link in links)
    for link, technology in zip(links, generated_traces.TRACES.values(), strict=False):
        assert link.rtt_s == pytest.approx(link_model(technology).rtt_s)
        assert len(link.uplink) == len(link.downlink) == generated_traces.SECONDS
