"""The files of the paper's experiments, and the figures that they belong to."""

import pytest

from studies.common.sweep_files import QUICK_SEEDS, experiment, names
from studies.paper.registry import FIGURES


@pytest.mark.parametrize("name", names())
def test_every_experiment_says_what_it_is_to_show_and_belongs_to_a_figure(name: str) -> None:
    found = experiment(name)
    about = found.about
    assert all((about.figure, about.claim, about.series, about.metric)), about
    assert len(found.seeds) > 1
    assert len(experiment(name, quick=True).seeds) == QUICK_SEEDS
    commands = [command for figure in FIGURES.values() for command in figure.COMMANDS]
    assert found.command in commands


@pytest.mark.parametrize("number", FIGURES)
def test_every_figure_says_in_a_line_what_is_done_and_has_runs_of_its_own_experiments(
    number: str,
) -> None:
    figure = FIGURES[number]
    assert str(figure.__doc__).partition("\n")[0].endswith(".")
    jobs = figure.jobs(quick=True)
    made = {f"compass-sim -m {job.overrides[0]}" for job in jobs}
    assert made == set(figure.COMMANDS)
    assert len({job.seed for job in jobs}) == QUICK_SEEDS
