"""GPUs: the speeds of boards, partitions, sharing by several processes, and times of batches."""
