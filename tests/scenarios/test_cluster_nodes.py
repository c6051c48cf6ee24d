"""What a node's machines have and cost, which is looked up when the node is made."""

import pickle
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
