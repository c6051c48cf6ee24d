"""The notebooks, and the command that keeps their pairs and their pages up to date.

The text (``NAME.py``, in Jupytext's percent format) is the source. ``NAME.ipynb`` next to it is
made from it, without outputs, to open in Jupyter. ``docs/notebooks/NAME.md`` also shows outputs.
"""

import sys


def missing(error: ModuleNotFoundError) -> int:
    """Print which package is not installed, and where it comes from; return the exit status."""
    advice = "it comes with the extra test: pip install '.[test]'"
    print(f"notebooks: {error.name} is not installed; {advice}", file=sys.stderr)
    return 2
