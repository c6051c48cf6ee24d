"""The planners' configuration files show every parameter, at the class's own default."""

import inspect
from importlib.resources import files

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf


@pytest.mark.parametrize("name", ["cheapest_feasible", "videostorm"])
def test_files_list_every_parameter_at_its_default(name):
    node = OmegaConf.create(files("conf").joinpath("planner", f"{name}.yaml").read_text())
    listed = dict(OmegaConf.to_container(node))
    planner = get_class(listed.pop("_target_"))
    defaults = {
        key: parameter.default for key, parameter in inspect.signature(planner).parameters.items()
    }
    assert listed == defaults
