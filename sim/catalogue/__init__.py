"""Nominal service times and memory needs of operators on machines."""
