"""Pictures of the documentation's pages on concepts."""
