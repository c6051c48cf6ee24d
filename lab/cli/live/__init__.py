"""The tools of ``compass-lab`` for a browser, and for assistants."""
