"""Statistics and frames of finished runs."""
