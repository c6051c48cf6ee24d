"""Shipped tables without a prediction, and why."""

from collections.abc import Iterable, Mapping

from hardware_models.schemas import PROVENANCE, SCHEMAS

NOTHING_TO_PREDICT: Mapping[str, str] = {
    "gpu_partitions": "it lists the profiles that a board's maker allows",
    "mig_reconfiguration": "it times single operations, from which a scenario takes its setting",
    "mig_layouts_a100": "it enumerates the layouts that the table of profiles allows",
    "compute_ratios": "it holds one conversion that other predictions use",
    "model_sizes": "it holds published sizes of models, which are looked up",
    "device_models": "its speeds are means over table device_latency, which is predicted",
    "device_speed_percentiles": "it describes a population of devices, from which users draw",
    "path_propagation": "it holds constants of the propagation of light",
    "links": "it describes populations of links, from which users draw",
    "link_technologies": "it names the row of table links that stands for a kind of link",
    "link_autocorrelation": "it holds parameters of the process that draws a link's capacity",
    "link_trace_statistics": "its statistics are compared with the fitted process on this page",
    "link_processes": "it names the recordings that stand for a kind of link",
    "machine_startup": "it times boots, from which a scenario takes its setting",
    "llm_models": "it holds published architectures, which are looked up",
    "llm_weights": "its sizes are counted from architectures",
    "llm_boards": "it holds published speeds of boards, which are looked up",
    "llm_slice_scaling": "it holds an assumption on slices, for which no measurement was found",
    "whisper_models": "it holds published sizes of models, which are looked up",
    "detection_map": "it holds published accuracies of networks, which are looked up",
    "prices": "prices are looked up",
    "gpu_hosts": "it names the machine that holds a board",
    "egress_prices": "prices are looked up",
    "accelerator_systems": "it names the board of a measured system",
    "board_assumptions": "it holds an assumption that other predictions use",
}
"""By table, why it holds nothing to predict. Tables of fits hold coefficients and errors."""

OF_A_FIT = "it holds what a fit found, and not measurements"


def reason(table: str) -> str | None:
    """Return why a table holds nothing to predict; None if it can be predicted."""
    return OF_A_FIT if table.startswith("fit_") else NOTHING_TO_PREDICT.get(table)


def unpredicted_table(stem: str, columns: Iterable[str]) -> str | None:
    """Return the table without a prediction whose columns a file has; None if there is none.

    If several fit, it is the one with the file's name, or else one with the most columns.
    """
    given = set(columns)
    own = {name: schema.columns.keys() - PROVENANCE.keys() for name, schema in SCHEMAS.items()}
    fitting = [name for name in own if reason(name) and own[name] <= given]
    return max(fitting, key=lambda name: (name == stem, len(own[name])), default=None)
