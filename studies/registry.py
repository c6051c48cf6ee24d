"""All studies, by name and by the number of the paper's figure that they reproduce."""

from collections.abc import Mapping, Sequence

from lab.common.errors import InputError, choices
from studies.common.study import PaperStudy, Study
from studies.experiments import (
    accuracy_prior,
    near_optimal,
    profiling,
    profiling_limits,
    rough_world,
)
from studies.paper.figures import (
    ablations,
    cost,
    drift,
    encodings,
    goodput,
    histories,
    load,
    planning_time,
    profiling_cost,
    settle,
    slow_search,
    surrogates,
    tiers,
    users,
)

FIGURES: Mapping[str, PaperStudy] = {
    "2": users,
    "4": slow_search,
    "8": surrogates,
    "10": goodput,
    "11": cost,
    "13": profiling_cost,
    "14a": ablations,
    "14b": planning_time,
    "15": load,
    "16": tiers,
    "17": drift,
    "17-histories": histories,
    "18": encodings,
    "settle": settle,
}
"""Studies by the first figure that they reproduce, in the paper's order."""

SAME_AS = {"12": "11", "19": "10", "20": "10", "21": "10"}
"""Figures that the study of another figure includes."""

BEYOND: Mapping[str, Study] = {
    "profiling_limits": profiling_limits,
    "near_optimal": near_optimal,
    "profiling": profiling,
    "accuracy_prior": accuracy_prior,
    "rough_world": rough_world,
}
"""Studies of questions that the paper does not answer."""


NAMES = {number: study.__name__.rpartition(".")[2] for number, study in FIGURES.items()}
"""Name of the study of each figure, which is the name of its module."""

STUDIES: Mapping[str, Study] = {**{NAMES[each]: FIGURES[each] for each in FIGURES}, **BEYOND}
"""All studies by name."""

TOGETHER = {"headline": ("goodput", "cost"), "all": tuple(STUDIES)}
"""Names that each denote several studies."""


def chosen(words: Sequence[str]) -> list[str]:
    """Return the studies that names, figures or `TOGETHER` denote, in the order of `STUDIES`.

    Raises InputError if there is no such study.
    """
    wanted: set[str] = set()
    for word in words:
        name = NAMES.get(SAME_AS.get(word, word), word)
        if name not in STUDIES and name not in TOGETHER:
            known = [*STUDIES, *TOGETHER, *FIGURES, *SAME_AS]
            raise InputError(f"{word}: there is no such study or figure; {choices(word, known)}")
        wanted.update(TOGETHER.get(name, (name,)))
    return [name for name in STUDIES if name in wanted]
