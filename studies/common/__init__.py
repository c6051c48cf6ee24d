"""What the studies share: scenes, measures, metrics, tables and verdicts."""
