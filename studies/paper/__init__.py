"""The paper's figures, run anew: our figure, its claim, and whether we agree."""
