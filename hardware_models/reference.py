"""The reference board, and the names of the measures by which boards are compared with it."""

REFERENCE = "A100-80GB"
"""The reference board, for which service times are stated, and on which planners profile."""

REFERENCE_PROFILE = "7g.80gb"
"""The profile of that whole board."""

REFERENCE_SLICES = 7
"""Compute slices of that whole board."""

LAYER_REFERENCE = "A100-40GB"
"""The reference board of the whole-layer profile of language models (Helix)."""

BATCH_1 = "batch-1 mean latency / A100-SXM-80GB"
OFFLINE = "offline throughput / A100-SXM-80GB"
"""The metrics of table ``accelerator_relative_speed``, by which boards are compared."""
