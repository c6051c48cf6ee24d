"""Machines, the stations on them, GPU instances, costs, and the states of queries."""
