"""A module for each figure of the paper that is reproduced."""
