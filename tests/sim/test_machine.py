"""One machine: instances that stay warm, are shared by MPS, evict models and are destroyed."""

import pytest

from scenarios.applications.application import LanguageModel, NeuralNetwork
from scenarios.cluster import Node
from sim.api.plan import CORE
from sim.cluster.machine import Machine, Need

GB = 10**9


def network(name="detector", gigabytes=1):
    return NeuralNetwork(name, gigabytes * GB, "resnet50", "resnet50")


def need(profile="1g.5gb", model=None, percent=100, gigabytes=1):
    return Need(profile, percent, 1, model or network(), gigabytes * GB)


@pytest.fixture
def machine():
    """Return a machine on standby, which keeps what is idle, with one A100-40GB."""
    return Machine("cloud", Node("cloud", "a2-highgpu-1g", standby=1), 0)


def take(machine, wanted):
    taken = machine.take(wanted)
    assert taken is not None
    return taken[0]


def test_a_first_instance_is_created_and_its_model_loaded(machine):
    slot = take(machine, need())
    assert (slot.created, slot.destroyed, slot.load_bytes) == (True, 0, GB)


def test_what_was_left_is_ready_at_once_for_the_same_model(machine):
    machine.give_back(take(machine, need()), 0)
    again = take(machine, need())
    assert (again.created, again.destroyed, again.load_bytes) == (False, 0, 0)


def test_another_model_finds_the_instance_but_loads(machine):
    machine.give_back(take(machine, need()), 0)
    other = take(machine, need(model=network("tracker", 2), gigabytes=2))
    assert (other.created, other.load_bytes) == (False, 2 * GB)
    assert list(other.instance.left) == [network()], "there is memory for both"


def test_models_left_longest_ago_are_evicted_for_lack_of_memory(machine):
    for name in ("first", "second"):
        machine.give_back(take(machine, need(model=network(name, 2), gigabytes=2)), 0)
    slot = take(machine, need(model=network("third", 2), gigabytes=2))
    assert [model.name for model in slot.instance.left] == ["second"], "5 GB hold two of 2 GB"


def test_a_model_that_was_left_again_was_left_last(machine):
    first, second = (network(name, 2) for name in ("first", "second"))
    share = {"percent": 40, "gigabytes": 2, "profile": "2g.10gb"}
    slots = [take(machine, need(model=model, **share)) for model in (first, second)]
    again = take(machine, need(model=first, percent=20, gigabytes=2, profile="2g.10gb"))
    assert {id(slot.instance) for slot in (*slots, again)} == {id(again.instance)}
    for slot in (*slots, again):
        machine.give_back(slot, 0)
    assert [model.name for model in again.instance.left] == ["second", "first"]


def test_idle_instances_are_destroyed_when_their_slices_are_needed(machine):
    small = [take(machine, need()) for _ in range(7)]
    assert machine.take(need("7g.40gb")) is None
    for slot in small:
        machine.give_back(slot, 0)
    whole = take(machine, need("7g.40gb"))
    assert (whole.created, whole.destroyed) == (True, 7)
    assert machine.layout(0) == (("7g.40gb", 0),)


def test_only_as_many_are_destroyed_as_must_be_and_neighbours_stay(machine):
    kept, *others = [take(machine, need()) for _ in range(7)]
    for slot in others:
        machine.give_back(slot, 0)
    take(machine, need("2g.10gb"))
    assert kept.instance in machine.instances
    assert len(machine.instances) == 7 - 2 + 1


def test_a_machine_that_is_given_back_forgets_all():
    machine = Machine("cloud", Node("cloud", "a2-highgpu-1g"), 0)
    slot = take(machine, need())
    assert machine.instances
    machine.give_back(slot, 0)
    assert machine.instances == []


def test_operators_share_an_instance_up_to_all_its_threads(machine):
    first = take(machine, need("3g.20gb", percent=60))
    second = take(machine, need("3g.20gb", network("tracker"), percent=40))
    assert first.instance is second.instance
    third = take(machine, need("3g.20gb", network("third"), percent=10))
    assert third.instance is not first.instance
    assert machine.take(need("3g.20gb", percent=100)) is None


def test_sharing_ends_where_memory_does(machine):
    first = take(machine, need("1g.5gb", percent=10, gigabytes=3))
    second = take(machine, need("1g.5gb", network("other", 3), percent=10, gigabytes=3))
    assert first.instance is not second.instance


def test_an_exclusive_instance_is_never_shared(machine):
    first = take(machine, need("3g.20gb"))
    assert take(machine, need("3g.20gb", percent=10)).instance is not first.instance


@pytest.mark.parametrize(
    "wanted",
    [
        Need(CORE),
        need("7g.40gb"),
        need("1g.5gb"),
        need("1g.5gb", network("other", 4), gigabytes=4),
        need("3g.20gb", network("third"), percent=50),
    ],
)
def test_taking_can_be_undone_without_a_trace(machine, wanted):
    for _ in range(3):
        machine.give_back(take(machine, need()), 0)
    shared = take(machine, need("3g.20gb", percent=50))
    machine.give_back(take(machine, need("2g.10gb")), 0)
    machine.give_back(shared, 0)

    def state():
        return machine.free_cores, [
            (each, list(each.slots), list(each.left.items())) for each in machine.instances
        ]

    before = state()
    taken = machine.take(wanted)
    assert taken is not None
    taken[1]()
    assert state() == before


def test_shares_of_the_price_follow_the_threads(machine):
    half = take(machine, need("3g.20gb", percent=50))
    whole = take(machine, need("3g.20gb"))
    assert half.price_usd_per_hour == pytest.approx(whole.price_usd_per_hour / 2)
    assert machine.idle_slices(0) == pytest.approx(7 - 3 - 1.5)


def test_processes_load_a_copy_each(machine):
    slot = take(machine, Need("3g.20gb", 100, 3, network(), 3 * GB))
    assert slot.load_bytes == 3 * GB


def test_a_machine_that_is_down_has_nothing_to_give(machine):
    machine.up = False
    assert machine.take(need()) is None
    assert machine.room_for("1g.5gb") == 0


def test_what_was_not_loaded_or_created_in_time_is_not_left():
    machine = Machine("cloud", Node("cloud", "a2-highgpu-1g", standby=1), 0)
    slot = take(machine, need())
    slot.instance.ready_ns, slot.ready_ns = 10, 20
    machine.give_back(slot, 5)
    assert machine.instances == [], "it was still being created"
    slot = take(machine, need())
    slot.instance.ready_ns, slot.ready_ns = 10, 20
    machine.give_back(slot, 15)
    assert slot.instance.left == {}, "its model was still being loaded"
    assert (take(machine, need()).created, machine.instances) == (False, [slot.instance])


def test_copies_that_are_missing_are_loaded_and_others_evicted_for_them(machine):
    machine.give_back(take(machine, need(model=network("other", 3), gigabytes=3)), 0)
    machine.give_back(take(machine, need(gigabytes=1)), 0)
    slot = take(machine, Need("1g.5gb", 100, 3, network(), 3 * GB))
    assert slot.load_bytes == 2 * GB
    assert slot.instance.left == {}


def test_a_language_model_loads_its_weights_whatever_memory_it_takes(machine):
    model = LanguageModel("Qwen2.5-Coder-3B-Instruct", "BF16")
    slot = take(machine, Need("7g.40gb", 100, 1, model, 36 * GB))
    assert slot.load_bytes == model.weight_bytes < 7 * GB


def test_no_idle_instance_is_destroyed_in_vain(machine):
    """The one that is idle for longest lies where it does not help."""
    slots = [take(machine, need()) for _ in range(7)]
    slots.sort(key=lambda slot: slot.instance.start)
    for at in (6, 0, 1):
        machine.give_back(slots[at], 0)
    slot = take(machine, need("2g.10gb"))
    assert slot.destroyed == 2
    assert slots[6].instance in machine.instances


def test_a_card_that_cannot_be_cut_is_there_as_it_is():
    machine = Machine("edge", Node("edge", "g2-standard-8", standby=1), 0)
    slot = take(machine, need("full"))
    assert (slot.created, slot.load_bytes) == (False, GB)


def test_a_refused_need_may_be_tried_again_after_a_release(machine):
    whole = take(machine, need("7g.40gb", gigabytes=2))
    assert machine.may_take(need())
    assert machine.take(need()) is None
    assert not machine.may_take(need()), "it was asked in vain"
    assert machine.may_take(need(gigabytes=2)), "that was not asked"
    machine.give_back(whole, 0)
    assert machine.may_take(need())
    assert machine.take(need()) is not None


def test_undoing_leaves_what_there_was_no_room_for(machine):
    take(machine, need("4g.20gb"))
    assert machine.take(need("4g.20gb")) is None
    _, undo = machine.take(need())
    undo()
    assert not machine.may_take(need("4g.20gb"))
