"""Configuration: composing, validating and checking it before a run."""
