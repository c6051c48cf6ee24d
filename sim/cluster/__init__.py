"""Machines and what runs on them: placement, sharing, GPU instances, costs, live queries."""
