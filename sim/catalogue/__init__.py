"""Nominal service times and memory of operators on machines, before anything runs."""
