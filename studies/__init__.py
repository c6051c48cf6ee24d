"""Experiments that check what planners achieve; see docs/evidence/evaluation.md."""
