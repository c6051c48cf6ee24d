"""The notebooks, and the command that keeps their pairs and their pages up to date.

The text (``NAME.py``, in Jupytext's percent format) is the source. Beside it lies ``NAME.ipynb``,
made from it and without outputs, to be opened in Jupyter; ``docs/notebooks/NAME.md`` shows what it
prints and draws.
"""
