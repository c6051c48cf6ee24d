"""Links for replay that are generated, because no recording was found that may be shipped.

``python -m scenarios.derivation._generated_traces`` writes the files of `TRACES` again, from the
model of `hardware_models.links.process`. The scenario ``network=replayed`` uses them.
"""

import math
from pathlib import Path

from hardware_models.links.process import NORMALS, correlate, traced_link
from scenarios.link_traces import GENERATED, SHIPPED
from scenarios.random_streams import stream

TRACES = {"4g": "4G-LTE", "low_band": "5G-NSA-Low-Band", "mmwave": "5G-NSA-mmWave", "wifi": "WiFi"}
"""The technology of each generated link, by the name in its files."""

SECONDS = 900


def write(directory: Path = SHIPPED) -> list[Path]:
    """Write both directions of every generated link; return the files.

    Each is a link of average level: the variable for the link's level is 0.
    """
    written = []
    for name, technology in TRACES.items():
        link = traced_link(technology)
        up, own = (
            stream(0, "generated trace", technology, direction).standard_normal(
                (SECONDS + 1, NORMALS)
            )
            for direction in ("uplink", "downlink")
        )
        down = correlate(up, own, link.updown)
        for direction, process, normals in (
            ("uplink", link.uplink, up),
            ("downlink", link.downlink, down),
        ):
            normals[0] = 0.0
            rates = process.capacity_bps(normals)
            lines = [f"{at},{_rounded(rate)}" for at, rate in enumerate(rates.tolist())]
            path = directory / f"{GENERATED}{name}_{direction}.csv"
            path.write_text("\n".join(["time_s,rate_bps", *lines]) + "\n", encoding="utf-8")
            written.append(path)
    return written


def _rounded(rate_bps: float) -> int:
    """Round to four significant digits, which all machines agree on."""
    return int(round(rate_bps, 3 - math.floor(math.log10(rate_bps))))


if __name__ == "__main__":
    for each in write():
        print(each)
