"""The version of the simulated world's behaviour.

Raise it when results of runs change with any planner: a rule of `sim`, an input that `scenarios`
draws, a table or a fit of `hardware_models`, or the definition of a result. The signature
(``python -m tests.signature``) says so if this is forgotten.
"""

WORLD = 1
"""1: versions begin."""
