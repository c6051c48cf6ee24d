"""Helpers for all other packages: files, messages, metrics, numbers as text."""
