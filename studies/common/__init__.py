"""What the studies share: scenes, measures and tables."""
