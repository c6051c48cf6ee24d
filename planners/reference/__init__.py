"""Bounds and yardsticks: the optimum of the planning model, greedy and random."""
