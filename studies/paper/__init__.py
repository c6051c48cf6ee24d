"""Reproduction of the paper's figures: our figure, the claim, and whether we agree."""
