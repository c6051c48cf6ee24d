"""The report on a sweep: claims, figures, tables and one page."""

import logging

# Without a writable home directory, matplotlib uses a temporary one and says so at length.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
