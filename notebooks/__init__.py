"""The notebooks, and the command that keeps their pairs and their pages up to date.

The text (``NAME.py``, in Jupytext's percent format) is the source. ``NAME.ipynb`` next to it is
made from it, without outputs, to open in Jupyter. ``docs/notebooks/NAME.md`` also shows outputs.
"""
