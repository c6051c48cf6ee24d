"""The cost of planning: the declared planning seconds of each operation."""

CHARGES_S = {
    "profile": 1e-3,
    "predict": 20e-6,
    "fits": 10e-6,
    "step": 1e-6,
    "search_step": 0.07,
    "history": 5e-3,
}
"""Declared cost of operations in seconds: the planning context's primitives, an elementary step, a
step of Bayesian optimisation (40 to 100 ms in the Compass paper), and evaluating the models of one
earlier query (a fraction of such a step).

The costs assume one core of a current server: a profiling
run is started by a message to its workers, a prediction is some hundred arithmetic operations.
"""
