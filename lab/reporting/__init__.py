"""The report on a sweep: claims, figures, tables and one page."""

import logging
import sys
from contextlib import chdir
from pathlib import Path

# Without a writable home directory, matplotlib uses a temporary one and says so at length.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# At import, matplotlib reads a file of the current directory, which can let it run LaTeX.
if "matplotlib" not in sys.modules and Path("matplotlibrc").exists():
    with chdir(sys.prefix):
        import matplotlib as matplotlib
