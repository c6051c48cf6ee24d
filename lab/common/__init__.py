"""Helpers without a subject of their own: files, locks, messages, units."""
