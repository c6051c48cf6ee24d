"""The study on a rougher world: its worlds, what the validation page says of it, and its tables."""

from itertools import product

import polars as pl
import pytest
from omegaconf import OmegaConf

from lab.config.compose import compose
from lab.hardware_tools.world_parameters import ON_STANDBY, SWEEP, parameters
from scenarios.cluster import EDGE
from studies.experiments import rough_world
from studies.experiments.rough_world import ASSUMED, ROUGH_WORLD, SCENES, SMOOTH_WORLD, worlds

PARTS = ("links", "switching", "services", "content")


def values(words):
    """Return the values of all parameters of the rough world, by key."""
    config = compose(words)
    return {each.key: OmegaConf.select(config, each.key) for each in parameters()}


@pytest.mark.parametrize("scene", SCENES)
def test_each_part_is_rough_alone(scene):
    experiment, found = SCENES[scene][0], worlds(scene)
    rough, smooth = values([experiment]), values([experiment, *found[SMOOTH_WORLD]])
    changed = {}
    for part in PARTS:
        alone = values([experiment, *found[f"only {part} rough"]])
        changed[part] = {key for key in smooth if alone[key] != smooth[key]}
        assert changed[part]
        assert {key: alone[key] for key in changed[part]} == {
            key: rough[key] for key in changed[part]
        }
    together = set().union(*changed.values())
    assert sum(map(len, changed.values())) == len(together)
    assert together == {key for key in rough if rough[key] != smooth[key]}


def test_the_default_is_compared_with_each_other_assumption():
    assert worlds("tracking")[ROUGH_WORLD] == ()
    found = worlds("speech")
    assert found[ROUGH_WORLD] == ()
    experiment, _ = SCENES["speech"]
    default = compose([experiment])
    for each in ASSUMED:
        assert found[each] == (each,)
        assert compose([experiment, each]) != default


def test_what_the_validation_page_calls_swept_is_swept():
    default = compose([])
    changed = set()
    for words in ASSUMED:
        config = compose([words])
        changed |= {
            each.key
            for each in parameters()
            if OmegaConf.select(config, each.key) != OmegaConf.select(default, each.key)
        }
    for each in parameters():
        if SWEEP in each.checked:
            assert each.key in changed


def test_edge_machines_of_shipped_clusters_are_on_standby():
    [key] = [each.key for each in parameters() if each.checked == ON_STANDBY]
    assert key == "cluster.edge_boot_s"
    for cluster in ("small", "large", "edge_only", "cloud_only"):
        for node in compose([f"cluster={cluster}"]).cluster.nodes.values():
            assert node.tier != EDGE or node.standby == node.count


def test_tables_have_means_of_worlds_and_ratios_of_the_first_planner():
    shares = {
        ("compass", SMOOTH_WORLD): 0.8,
        ("greedy", SMOOTH_WORLD): 0.4,
        ("compass", ROUGH_WORLD): 0.3,
        ("greedy", ROUGH_WORLD): 0.1,
    }
    rows = pl.DataFrame(
        [
            {"scene": "speech", "world": world, "planner": planner, "seed": seed, "slo_met": share}
            for ((planner, world), share), seed in product(shares.items(), (300, 301))
        ]
    )
    text = list(rough_world.lines(rows))
    assert "| world (speech) | compass | greedy |" in text
    [smooth] = [line for line in text if line.startswith(f"| {SMOOTH_WORLD} |")]
    [rough] = [line for line in text if line.startswith(f"| {ROUGH_WORLD} |")]
    assert [float(cell.split()[0]) for cell in smooth.split("|")[2:4]] == [0.8, 0.4]
    assert [float(cell.split()[0]) for cell in rough.split("|")[2:4]] == [0.3, 0.1]
    ratios = [line for line in text if line.startswith("| speech | ")]
    assert len(ratios) == 2
    assert "| 2 [2, 2] |" in ratios[0]
    assert "| 3 [3, 3] |" in ratios[1]
