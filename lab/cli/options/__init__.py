"""The options of the tools of ``compass-lab``."""
