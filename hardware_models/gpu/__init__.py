"""GPUs: boards by speed, partitions, sharing, and the time of a batch."""
