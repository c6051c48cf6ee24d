"""Reference planners: the optimum of the planning model, a greedy planner and a random one."""
