"""Reference planners: the optimum of the planning model, greedy and random."""
