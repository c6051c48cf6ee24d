"""Experiments that hold the planners to what is claimed of them; see docs/evidence/evaluation.md."""
