"""The declared cost of each planning operation, in planning seconds."""

CHARGES_S = {
    "profile": 1e-3,
    "predict": 20e-6,
    "fits": 10e-6,
    "step": 1e-6,
    "search_step": 0.07,
    "history": 5e-3,
}
"""Declared cost of each operation, in seconds. Besides the planning context's operations, these are
an elementary step, a step of Bayesian optimisation (40 to 100 ms in the Compass paper), and the
evaluation of one earlier query's models (a fraction of such a step).

The costs assume one core of a current server. A profiling run is started by a message to its
workers, and a prediction consists of a few hundred arithmetic operations.
"""
