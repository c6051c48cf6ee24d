"""Capacity and money of machines, without requests: joining, leaving, failing, billing."""

import re

import pytest
from capacity import check_capacity
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hardware_models.gpu.mig import check_layout, maximal_layouts, profiles
from hardware_models.tables import load_table
from scenarios.cluster import DEVICE, Cluster, Node
from sim.api.plan import CORE, Allocation
from sim.clock import NS_PER_S
from sim.cluster.billing import Billing
from sim.cluster.machine import Need
from sim.cluster.machines import Machines, StationDemand

BOARD = "A100-40GB"
STANDARD = {"1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"}
HOUR_NS = 3600 * NS_PER_S


def cluster():
    return Cluster(
        {
            "edge": Node("edge", "g2-standard-4", count=2, standby=1),
            "cloud": Node("cloud", "a2-highgpu-1g", count=2),
        }
    )


def demand(place, profile, work=0.1, operator=0, value=0, replicas=1, percent=100):
    key = (operator, (value,), place, Allocation(profile, replicas, thread_percent=percent))
    return StationDemand(key, 1.0, work)


def state(machines):
    """Describe who holds what."""
    return (
        [
            (
                machine.free_cores,
                [(each, list(each.slots), dict(each.left)) for each in machine.instances],
                list(machine.slots),
            )
            for machine in machines.all()
        ],
        {
            key: [(s.id, dict(s.members), s.load, s.load_without(0), s.serves(-1)) for s in group]
            for key, group in machines.stations.items()
        },
    )


PLACES = st.one_of(
    st.just((DEVICE, DEVICE)),
    st.sampled_from([("edge", CORE), ("edge", "full"), ("cloud", CORE)]),
    st.sampled_from(sorted(profiles(BOARD))).map(lambda profile: ("cloud", profile)),
)


class CapacityMachine(RuleBasedStateMachine):
    """Invariant 4, under any order of joining, leaving, failing and recovering."""

    def __init__(self):
        super().__init__()
        self.machines = Machines(cluster())
        self.billing = Billing(self.machines)
        self.hours = 0
        self.deployments = {}
        self.made = 0

    @rule(
        places=st.lists(PLACES, min_size=1, max_size=3),
        work=st.sampled_from((0.05, 0.3, 0.7, 0.9)),
        value=st.integers(0, 1),
        replicas=st.integers(1, 3),
        percent=st.sampled_from((100, 40)),
    )
    def join(self, places, work, value, replicas, percent):
        demands = [
            demand(
                *(place, profile, work, number, value, replicas),
                100 if profile in (DEVICE, CORE) else percent,
            )
            for number, (place, profile) in enumerate(places)
        ]
        before = state(self.machines)
        [first] = self.machines.first_that_fits([], [[demands] * 2])
        two = self.machines.first_that_fits([], [[demands]] * 2)
        assert first == two[0]
        assert self.machines.first_that_fits([demands], [[demands] * 2]) == two[1:]
        assert state(self.machines) == before, "asking changes nothing"
        got = self.machines.join(self.made, self.made, demands)
        assert (first == 0) == (not isinstance(got, str))
        if isinstance(got, str):
            assert state(self.machines) == before, "all or nothing"
        else:
            self.deployments[self.made] = [station for station, _ in got]
        self.made += 1

    @rule(data=st.data())
    def leave(self, data):
        if not self.deployments:
            return
        deployment = data.draw(st.sampled_from(sorted(self.deployments)))
        stations = self.deployments.pop(deployment)
        others = {s for held in self.deployments.values() for s in held}
        kept = {slot for slot, station in self.machines.holders.items() if station in others}
        for station in self.machines.leave(deployment, stations, 0):
            assert station not in others
        now = {slot for machine in self.machines.all() for slot in machine.slots}
        assert kept == now, "neighbours keep their slots, and nobody else has one"

    @rule(number=st.integers(0, 3))
    def fail_or_recover(self, number):
        machine = list(self.machines.all())[number]
        if not machine.up:
            self.machines.recover(machine, 0)
            return
        victims = {self.machines.holders[slot] for slot in machine.slots}
        assert set(self.machines.fail(machine, 0)) == victims
        assert not machine.rented
        assert machine.take(Need(CORE)) is None
        assert machine.room_for(machine.node.gpu_profiles[0]) == 0

    @invariant()
    def capacity(self):
        check_capacity(self.machines)
        for node, pool in self.machines.pools.items():
            assert self.machines.up[node] == sum(machine.up for machine in pool)

    @invariant()
    def money(self):
        kept = self.billing
        bill_usd, idle_usd, attributed_usd = kept.bill_usd, kept.idle_usd, kept.attributed_usd
        self.hours += 1
        kept.settle(self.hours * HOUR_NS)
        billing = Billing(self.machines)
        billing.settle(HOUR_NS)
        assert kept.bill_usd - bill_usd == pytest.approx(billing.bill_usd, abs=1e-9)
        assert kept.idle_usd - idle_usd == pytest.approx(billing.idle_usd, abs=1e-9)
        for query, usd in kept.attributed_usd.items():
            more_usd = usd - attributed_usd.get(query, 0.0)
            assert more_usd == pytest.approx(billing.attributed_usd.get(query, 0.0), abs=1e-9)
        rented = [machine for machine in self.machines.all() if machine.rented]
        assert billing.bill_usd == pytest.approx(sum(m.node.price_usd_per_hour for m in rented))
        total = billing.idle_usd + sum(billing.attributed_usd.values())
        assert total == pytest.approx(billing.bill_usd, rel=1e-9, abs=1e-12)


CapacityMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestInvariantCapacity = CapacityMachine.TestCase


def test_invariant_capacity_filling_a_card_in_all_ways_ends_in_one_of_the_19_layouts():
    """Every order of asking for standard profiles, on a card of one machine, until none fits."""
    names = {int(name[0]): name for name in STANDARD}
    published = {
        tuple(sorted((names[int(g)], int(at)) for g, at in re.findall(r"(\d)g@(\d)", text)))
        for text in load_table("mig_layouts_a100")["layout"]
    }
    assert len(published) == 19
    ends, seen, frontier = set(), set(), [()]
    while frontier:
        asked = frontier.pop()
        machines = Machines(Cluster({"cloud": Node("cloud", "a2-highgpu-1g")}))
        for number, profile in enumerate(asked):
            assert not isinstance(
                machines.join(number, 0, [demand("cloud", profile, value=number)]), str
            )
        (machine,) = machines.all()
        layout = machine.layout(0)
        check_layout(BOARD, layout)
        if layout in seen:
            continue
        seen.add(layout)
        more = [name for name in STANDARD if machine.room_for(name)]
        refused = [name for name in STANDARD if name not in more]
        for profile in refused:
            assert isinstance(machines.join(99, 0, [demand("cloud", profile, value=99)]), str)
        frontier += [(*asked, profile) for profile in more]
        if not more:
            ends.add(layout)
    assert ends <= published == maximal_layouts(BOARD, STANDARD)
    mixes = {tuple(sorted(name for name, _ in layout)) for layout in published}
    assert {tuple(sorted(name for name, _ in layout)) for layout in ends} == mixes


def test_stations_are_shared_up_to_the_utilisation_limit_fullest_first():
    machines = Machines(cluster())
    (first, new), *_ = machines.join(0, 0, [demand("cloud", "1g.5gb", work=0.5)])
    (second, also_new), *_ = machines.join(1, 1, [demand("cloud", "1g.5gb", work=0.4)])
    assert new
    assert also_new
    assert second is not first, "together they would be above 0.8"
    (third, not_new), *_ = machines.join(2, 2, [demand("cloud", "1g.5gb", work=0.3)])
    assert (third, not_new) == (first, False)
    (fourth, _), *_ = machines.join(3, 3, [demand("cloud", "1g.5gb", work=0.3)])
    assert fourth is second
    load = machines.load_for(demand("cloud", "1g.5gb", work=0.0), query=0)
    assert (load.servers, load.rate, load.work) == (1, 1.0, pytest.approx(0.3))
    assert machines.leave(0, [first], 0) == []
    assert machines.leave(2, [first], 0) == [first]


def test_devices_are_never_shared_or_full():
    machines = Machines(cluster())
    (first, _), *_ = machines.join(0, 0, [demand(DEVICE, DEVICE, work=5.0)])
    (second, new), *_ = machines.join(1, 1, [demand(DEVICE, DEVICE, work=5.0)])
    assert new
    assert second is not first


def test_refusals_say_why():
    machines = Machines(Cluster({"cloud": Node("cloud", "a2-highgpu-1g")}))
    assert machines.join(0, 0, [demand("cloud", "1g.5gb", work=0.9)]) == (
        "cloud:1g.5gb would be 0.90 busy, above 0.80"
    )
    machines.join(1, 0, [demand("cloud", "7g.40gb")])
    assert machines.join(2, 0, [demand("cloud", "1g.5gb", value=1)]) == "cloud has no 1g.5gb left"


def test_an_instance_has_no_more_clients_than_mps_allows():
    machines = Machines(Cluster({"cloud": Node("cloud", "a2-highgpu-1g")}))
    share = Allocation("7g.40gb", replicas=50, processes=4, thread_percent=2)
    crowd = StationDemand((0, (0,), "cloud", share), 1.0, 0.1)
    assert machines.join(0, 0, [crowd]) == "cloud has no 7g.40gb left"
    share = Allocation("7g.40gb", replicas=12, processes=4, thread_percent=2)
    machines.join(0, 0, [StationDemand((0, (0,), "cloud", share), 1.0, 0.1)])
    (instance,) = machines.pools["cloud"][0].instances
    assert instance.clients == 48
    check_capacity(machines)


def test_rented_machines_are_filled_before_others_are_rented():
    machines = Machines(cluster())
    for number in range(5):
        machines.join(number, 0, [demand("edge", CORE, work=0.7, value=number)])
    assert [len(machine.slots) for machine in machines.pools["edge"]] == [4, 1]


# Money


def settle(machines, hours=1):
    billing = Billing(machines)
    billing.settle(hours * HOUR_NS)
    return billing


def test_invariant_money_only_standby_and_used_machines_are_billed():
    machines = Machines(cluster())
    edge, cloud = (pool[0].node.price_usd_per_hour for pool in machines.pools.values())
    assert settle(machines).bill_usd == pytest.approx(edge)
    assert settle(machines).idle_usd == pytest.approx(edge)
    (station, _), *_ = machines.join(0, 7, [demand("cloud", CORE)])
    billing = settle(machines, hours=2)
    assert billing.bill_usd == pytest.approx(2 * (edge + cloud))
    core = machines.pools["cloud"][0].node.core_price_usd_per_hour
    assert billing.attributed_usd == {7: pytest.approx(2 * core)}
    machines.leave(0, [station], 0)
    assert settle(machines).bill_usd == pytest.approx(edge)
    machines.fail(machines.pools["edge"][0], 0)
    assert settle(machines).bill_usd == 0.0


def test_invariant_money_members_split_a_slot_by_their_declared_load():
    machines = Machines(cluster())
    machines.join(0, 1, [demand("cloud", "2g.10gb", work=0.1)])
    machines.join(1, 2, [demand("cloud", "2g.10gb", work=0.3)])
    shares = settle(machines).attributed_usd
    whole = machines.pools["cloud"][0].node.slice_price_usd_per_hour("2g.10gb")
    assert shares == {1: pytest.approx(whole / 4), 2: pytest.approx(3 * whole / 4)}


def test_invariant_money_a_whole_card_and_all_cores_leave_nothing_idle():
    machines = Machines(Cluster({"cloud": Node("cloud", "a2-highgpu-1g")}))
    cores = machines.pools["cloud"][0].node.cores
    machines.join(0, 0, [demand("cloud", "7g.40gb"), demand("cloud", CORE, replicas=cores)])
    billing = settle(machines)
    assert billing.idle_usd == pytest.approx(0.0, abs=1e-12)
    assert billing.attributed_usd == {0: pytest.approx(billing.bill_usd)}


def test_invariant_money_settling_often_is_settling_once():
    machines = Machines(cluster())
    machines.join(0, 0, [demand("cloud", "3g.20gb"), demand("edge", CORE)])
    often = Billing(machines)
    for at_ns in range(0, HOUR_NS + 1, HOUR_NS // 1000):
        often.settle(at_ns)
    once = settle(machines)
    assert often.bill_usd == pytest.approx(once.bill_usd, rel=1e-9)
    assert often.attributed_usd[0] == pytest.approx(once.attributed_usd[0], rel=1e-9)
