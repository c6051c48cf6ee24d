"""Units of the configuration's keys, which their names tell."""

import re

# By how keys end, the special before the general.
UNITS = (
    (r"usd_per_hour", "USD/h"),
    (r"([a-z]+)_per_s", r"\1/s"),
    (r"bps", "bit/s"),
    (r"bytes", "bytes"),
    (r"km", "km"),
    (r"s", "s"),
)
UNIT_OF = {"workload.rate": "queries/s"}


def unit_of(key: str) -> str:
    """Return the unit of a key's values, which its name tells; empty if it does not."""
    for ending, unit in UNITS:
        if found := re.search(rf"(?:_|\.|^){ending}$", key):
            return found.expand(unit)
    return UNIT_OF.get(key, "")
