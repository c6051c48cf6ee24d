"""What Compass keeps between calls cannot change, since checkpoints keep the same objects."""

import importlib
import inspect
import pkgutil
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

import planners.compass
from sim.planning.call import DeploymentOrder

WORKING = {
    *("Compass", "CertainBeliefs", "TTestBeliefs", "PooledAccuracy", "Progress", "QueryPlans"),
    "StationTable",
}
"""The planner, and what lives within one call; everything else is kept or compared."""


def kept():
    """Return the dataclasses of Compass that are not made anew in each call."""
    modules = pkgutil.walk_packages(planners.compass.__path__, "planners.compass.")
    found = {
        each
        for module in modules
        for each in vars(importlib.import_module(module.name)).values()
        if inspect.isclass(each) and is_dataclass(each) and each.__module__ == module.name
    }
    left_out = (each for each in found if each.__name__ in WORKING or inspect.isabstract(each))
    return sorted(found - {*left_out}, key=repr)


@pytest.mark.parametrize("kind", [*kept(), DeploymentOrder], ids=lambda kind: kind.__name__)
def test_records_and_orders_cannot_change(kind):
    record = object.__new__(kind)
    for field in fields(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(record, field.name, None)
