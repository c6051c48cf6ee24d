"""What a report claims about the best planner, and over which seeds and settings."""

import re
import shutil

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from spoiled_sweeps import spoil

from lab import read_sweep
from lab.analysis.sweep_analysis import analyse, planners_of
from lab.cli.tools import main
from lab.reporting.claims import claims
from lab.reporting.drawings.where_time_goes import pooled_operators
from lab.reporting.tables import tables


def test_the_best_planner_is_counted_where_every_planner_finished(sweep):
    def counted():
        found = {one.text: one.details for one in claims(analyse(read_sweep(sweep)))}
        [text] = [text for text in found if "In service goodput, " in text]
        return text, found[text]

    goodputs = (7.0, 7.5, 9.0, 9.5, 8.0, 8.0, 1.0, 7.0)
    for number, goodput in enumerate(goodputs):
        spoil(sweep / str(number), service_goodput_mean=goodput)
    text, details = counted()
    assert text == (
        "In service goodput, CheapestFeasible is ahead in 1 of 2 settings, clearly in 0; "
        "Greedy in 1."
    )
    # No mean over different rates.
    sizes = "".join(details)
    assert "rate=0.1: Greedy is not clearly ahead of CheapestFeasible in service goodput" in sizes
    assert re.findall(r": ([\d.]+) queries", sizes) == ["8", "9.25"]
    for number in (4, 5):  # The first planner's runs at the second rate.
        shutil.rmtree(sweep / str(number))
    text, details = counted()
    assert "in 1 of 1 setting, clearly in 0." in text
    assert [one.partition(":")[0] for one in details] == ["rate=0.1"]


def said_of_goodput(directory):
    """Return what is said first of goodput, and what of seeds that planners lack."""
    found = {one.text: one.details for one in claims(analyse(read_sweep(directory)))}
    [winner] = [text for text in found if "service goodput" in text]
    [unlike] = [text for text in found if "finished different seeds" in text]
    return winner, found[winner], unlike, found[unlike]


def test_a_ratio_that_contradicts_the_difference_is_left_out(sweep):
    for number in "4567":
        shutil.rmtree(sweep / number)

    def said(*of_greedy):
        for number, cost in zip("0123", (6.0, 6.0, *of_greedy), strict=True):
            spoil(sweep / number, deployment_cost_usd=cost)
        found = {one.text: one.details for one in claims(analyse(read_sweep(sweep)))}
        [[sentence]] = [
            found[text] for text in found if "not clearly ahead of Greedy in dep" in text
        ]
        return sentence

    assert said(8.0, 8.0) == (  # Twice the same is no proof.
        "No clear difference: 2 [2, 2] USD less than Greedy (0.75 times as much, p = 0.500)."
    )
    # By arithmetic means Greedy costs a quarter dollar more, by geometric ones less.
    assert re.fullmatch(r"No clear.*: 0\.25 .* USD less than Greedy \(p = 0.*", said(2.0, 10.5))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_highest_is_said_only_where_the_difference_is_clear(made, tmp_path, capsys):
    """The page has one kind of interval, the one that the terminal shows."""
    for seed in range(3):
        for number, goodput in (("0", 5.0), ("2", 2.0)):
            place = shutil.copytree(made / number, tmp_path / f"{number}{seed}")
            spoil(place, seed=seed, service_goodput_mean=goodput + seed / 10 * (number == "0"))
    assert main(["report", str(tmp_path)]) == 0
    page = " ".join((tmp_path / "report" / "index.html").read_text().split())
    assert "CheapestFeasible has the highest service goodput: 5.1 queries [4.85, 5.35]" in page
    assert "3.1 [2.85, 3.35] queries more than Greedy" in page
    assert "[4.852, 5.348]" in capsys.readouterr().out
    assert "Intervals are 95 % intervals by Student's t over 3 seeds." in page.replace("&#39;", "'")
    assert "bootstrap" not in page
    for seed in range(3):
        spoil(tmp_path / f"2{seed}", service_goodput_mean=2.0 + 4 * seed)
    assert main(["report", str(tmp_path)]) == 0
    page = " ".join((tmp_path / "report" / "index.html").read_text().split())
    assert "has the highest service goodput" not in page
    assert "Greedy is not clearly ahead of CheapestFeasible in service goodput: 6 queries" in page


def test_a_setting_that_lacks_a_value_is_named(sweep):
    for number in "01234567":
        spoil(sweep / number, response_time_p50_s=1.0)
    for number in "01":
        spoil(sweep / number, response_time_p50_s=None)

    def said():
        found = {one.text: one.details for one in claims(analyse(read_sweep(sweep)))}
        return next(found[text][0] for text in found if "median response time" in text)

    assert said() == (
        "rate=0.05: CheapestFeasible is not clearly ahead of Greedy in median response time: "
        "1 s [1, 1]."
    )
    for number in "4567":
        shutil.rmtree(sweep / number)
    assert said() == (
        "CheapestFeasible has no value on 2 of 2 seeds, so it ranks lower. "
        "CheapestFeasible: there is no seed in which both have a value."
    )


@pytest.mark.usefixtures("undrawn")
def test_the_winner_is_that_of_the_seeds_that_all_finished(sweep):
    for number, goodput in zip("0124567", (2.0, 9.0, 3.0, 9.0, 9.0, 1.0, 1.0), strict=True):
        spoil(sweep / number, service_goodput_mean=goodput)
    for number in "367":  # Greedy's on the second seed, and all at the second rate.
        shutil.rmtree(sweep / number)
    winner, details, unlike, lacking = said_of_goodput(sweep)
    unsure = "Greedy is not clearly ahead of CheapestFeasible in service goodput: 3 queries"
    assert winner == "In service goodput, Greedy is ahead in 1 of 1 setting, clearly in 0."
    assert details == [f"rate=0.1: {unsure}."]
    assert "over the 1 pair of setting and seed of 4" in unlike
    assert lacking == ["Greedy has not finished rate=0.05, seeds 0 and 1; rate=0.1, seed 1."]
    for number in "45":  # One setting is left.
        shutil.rmtree(sweep / number)
    winner, details, unlike, lacking = said_of_goodput(sweep)
    assert winner.startswith(unsure)
    assert winner.endswith("over the 1 seed that all finished.")
    assert details[0].startswith("1 queries more than CheapestFeasible")
    assert "over the 1 seed of 2" in unlike
    assert lacking == ["Greedy has not finished seed 1."]
    analysis = analyse(read_sweep(sweep))
    dominated = dict(analysis.pareto.select("planner", "n").rows())
    assert dominated == {"CheapestFeasible": 1, "Greedy": 1}
    assert main(["report", str(sweep)]) == 0


def test_figures_over_time_are_of_the_seeds_that_all_finished(sweep):
    spoil(sweep / "3", simulated_s=20.0, status="interrupted")  # Greedy's second seed.
    unlike = analyse(read_sweep(sweep))
    counts = unlike.goodput.select("workload.rate", "planner", "n").unique()
    assert set(counts.select("workload.rate", "n").rows()) == {(0.1, 1), (0.05, 2)}
    assert counts.height == 4
    shutil.rmtree(sweep / "1")
    alike = analyse(read_sweep(sweep))
    assert_frame_equal(unlike.goodput, alike.goodput)
    assert_frame_equal(unlike.time, alike.time)
    assert_frame_equal(unlike.latency, alike.latency)


def test_pooled_rows_are_over_settings_that_all_planners_finished(sweep):
    whole = analyse(read_sweep(sweep))
    for number in "67":  # Greedy's at the second rate.
        spoil(sweep / number, simulated_s=20.0, status="interrupted")
    unlike = analyse(read_sweep(sweep))
    assert unlike.latency["setting"].n_unique() == 2
    at_first = whole.latency.filter(pl.col("workload.rate") == 0.1)
    assert_frame_equal(pooled_operators(unlike.latency), pooled_operators(at_first))


@pytest.mark.usefixtures("undrawn")
def test_without_a_common_seed_no_planner_wins(sweep):
    for number in "124567":
        shutil.rmtree(sweep / number)
    assert main(["report", str(sweep)]) == 0
    text = (sweep / "report" / "index.html").read_text()
    assert "No seed has finished runs of every planner" in text
    assert "CheapestFeasible has not finished seed 1." in text
    assert "has the highest" not in text
    assert analyse(read_sweep(sweep)).time.height == 2


def test_latency_has_planners_in_the_order_of_the_sweep(sweep):
    for first, second in zip("0145", "2367", strict=True):  # Greedy's runs come first.
        (sweep / first).rename(sweep / "aside")
        (sweep / second).rename(sweep / first)
        (sweep / "aside").rename(sweep / second)
    analysis = analyse(read_sweep(sweep))
    for frame in (analysis.latency, analysis.goodput, analysis.time):
        assert frame["planner"].unique(maintain_order=True).to_list() == planners_of(analysis.sweep)
    assert planners_of(analysis.sweep) != sorted(planners_of(analysis.sweep))


def test_the_page_says_over_what_p_values_are_adjusted(made, sweep):
    def said(directory):
        analysis = analyse(read_sweep(directory))
        assert analysis.differences.height
        shown = {one.title: one.about for one in tables(analysis)}
        return list(claims(analysis))[-1].text, shown["Paired differences over seeds"]

    over = "within each setting and not over settings."
    text, about = said(made)
    assert over in text
    assert about.endswith("not over settings.")
    for number in range(4, 8):
        shutil.rmtree(sweep / str(number))
    text, _ = said(sweep)
    assert "by Holm's procedure." in text
    assert over not in text
