"""Compass, composed of parts that are modules of their own."""
