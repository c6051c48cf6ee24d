"""The group ``switching``: boots, the partitioning of GPUs, and loads, by one word."""

from dataclasses import fields, replace

import polars as pl
import pytest

from hardware_models.tables import load_table
from lab.common.errors import InputError
from lab.common.options import groups
from lab.config.compose import compose
from scenarios.cluster import FREE_SWITCHING, Cluster, Node

KEYS = ("cloud_boot_s", "edge_boot_s", "mig_create_s", "mig_destroy_s", "load_bandwidth")
DEFAULT = "operator"


def cluster(*overrides):
    return compose(["experiment=speech_small", *overrides]).cluster


def chosen(*overrides):
    made = cluster(*overrides)
    return {key: made[key] for key in KEYS}


def test_the_default_is_that_of_a_cluster_made_in_python():
    defaults = {each.name: each.default for each in fields(Cluster)}
    assert chosen() == chosen(f"switching={DEFAULT}") == {key: defaults[key] for key in KEYS}


def test_the_old_world_is_free():
    """Its values were the defaults when they had no names, and tests rely on them."""
    old = dict(zip(KEYS, (0, 0, 1, 1, "per_instance"), strict=True))
    assert chosen("switching=free") == FREE_SWITCHING == old


@pytest.mark.parametrize("name", ["bare", "operator"])
def test_boots_are_those_of_the_table(name):
    rows = load_table("machine_startup").filter(
        pl.col("provider") == "GCP", pl.col("machines").str.starts_with("11 types")
    )
    created, restarted = (
        rows.filter(start=start)["value"].item() for start in ("created", "restarted")
    )
    made = chosen(f"switching={name}")
    assert (made["cloud_boot_s"], made["edge_boot_s"]) == (created, restarted)


def test_an_operator_changes_a_layout_as_fast_as_was_measured():
    by_operator = pl.col("operation").str.contains("mig-manager")
    measured = load_table("mig_reconfiguration").filter(by_operator)
    made = chosen("switching=operator")
    assert made["mig_create_s"] == pytest.approx(measured["value"].mean(), abs=0.05)
    assert made["mig_destroy_s"] == 0, "it is part of the change"


@pytest.mark.parametrize("name", groups()["switching"])
def test_every_option_sets_all_keys_and_single_ones_take_precedence(name):
    made = chosen(f"switching={name}", "cluster.mig_create_s=7", "cluster=cloud_only")
    assert made == chosen(f"switching={name}") | {"mig_create_s": 7}


def test_a_node_boots_like_its_tier_unless_it_has_a_time_of_its_own():
    edge, cloud = Node("edge", "g2-standard-8"), Node("cloud")
    made = Cluster({"edge": edge, "cloud": cloud}, cloud_boot_s=60.0, edge_boot_s=20.0)
    assert (made.boot_s(edge), made.boot_s(cloud)) == (20.0, 60.0)
    assert made.boot_s(replace(cloud, boot_s=0.0)) == 0.0


@pytest.mark.parametrize("word", ["switchin=free", "cluster.switching=free"])
def test_a_misspelt_or_misplaced_group_is_named(word):
    with pytest.raises(InputError, match="did you mean 'switching'"):
        compose([word])
