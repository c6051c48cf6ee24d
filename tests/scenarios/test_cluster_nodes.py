"""What a node's machines have and cost, which is looked up when the node is made."""

import pickle
import re
from copy import deepcopy
from dataclasses import replace

import pytest

from scenarios.cluster import Node

A100 = Node(machine="a2-highgpu-1g")


def test_all_slices_of_all_gpus_and_all_cores_carry_the_whole_price():
    whole = A100.slice_price_usd_per_hour("7g.40gb") * A100.gpus
    assert whole == pytest.approx(A100.gpu_price_usd_per_hour * A100.gpus)
    assert whole + A100.core_price_usd_per_hour * A100.cores == pytest.approx(
        A100.price_usd_per_hour
    )
    assert A100.gpu_slices == 7


def test_a_machine_without_gpus_has_none_to_pay_for():
    node = Node(machine="n1-standard-1")
    assert (node.gpus, node.gpu_board, node.gpu_slices, node.gpu_price_usd_per_hour) == (
        (0, None, 0, 0.0)
    )
    assert node.all_gpu_profiles == ()
    assert node.core_price_usd_per_hour * node.cores == pytest.approx(node.price_usd_per_hour)


def test_copies_are_equal_and_cost_the_same():
    for other in (pickle.loads(pickle.dumps(A100)), deepcopy(A100), replace(A100)):
        assert other == A100
        assert other.price_usd_per_hour == A100.price_usd_per_hour
        assert other.all_gpu_profiles == A100.all_gpu_profiles
    assert replace(A100, purchase="spot").price_usd_per_hour < A100.price_usd_per_hour


@pytest.mark.parametrize("name", ["price_usd_per_hour", "core_price_usd_per_hour", "cores", "gpus"])
def test_figures_from_tables_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(Node(), name, 0)


def test_places_on_shared_cores_are_as_many_as_replicas_fit_and_carry_the_whole_price():
    alone, shared = (Node(machine="n1-standard-8", replicas_per_core=each) for each in (1, 3))
    assert (alone.cores, alone.shared_cores) == (8, 8)
    assert (shared.cores, shared.shared_cores) == (24, 8)
    assert shared.core_price_usd_per_hour * 24 == pytest.approx(shared.price_usd_per_hour)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"replicas_per_core": 0}, "replicas_per_core=0: must be 1 replica or more"),
        (
            {"replicas_per_core": 2, "count": 2},
            "count=2: a node with replicas_per_core=2 must be a s",
        ),
        ({"core_slowdown": ()}, "core_slowdown=[]: must be numbers above 0, at least one"),
        ({"core_slowdown": (1.0, 0.0)}, "core_slowdown=[1.0, 0.0]: must be numbers above 0"),
    ],
)
def test_cores_that_cannot_be_shared_are_refused_in_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Node(machine="n1-standard-8", **wrong)
