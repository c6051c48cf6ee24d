"""The regime atlas: which planner is best in which regime, by how much, and how certain."""
