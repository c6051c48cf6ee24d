"""Reproduction of the paper's figures: our figure, the claim, and the verdict."""
