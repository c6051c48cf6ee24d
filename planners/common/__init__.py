"""Helpers that several planners share."""
