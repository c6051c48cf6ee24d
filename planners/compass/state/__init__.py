"""Compass's knowledge about queries, and the records that its parts exchange."""
