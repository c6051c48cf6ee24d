"""Runs that studies and what-if tools have made before and need not make again."""
