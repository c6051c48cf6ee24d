"""An animated picture of a run: what happened to each query, and on which machines."""
