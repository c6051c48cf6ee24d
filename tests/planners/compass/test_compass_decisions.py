"""Rules of decision: confidence sequences, and the model of accuracy that queries share."""

import numpy as np
import pytest

from planners.bayesopt.gaussian_process import Grid
from planners.compass.profiling.decisions import (
    Certain,
    TTest,
    critical_anytime,
    critical_posterior,
)
from planners.compass.profiling.estimates import decided, rare_variance, stratified_mean
from planners.compass.search.accuracy_prior import AccuracyPrior
from planners.compass.search.pooled import PooledAccuracy
from planners.compass.state.records import History, Seen
from scenarios.random_streams import stream

LOOKS = range(16, 193, 16)
STRATA = np.tile(np.arange(8), 24)
STREAMS = 2000
ALPHA = 0.1


def answers(rng):
    """Return 192 right or wrong answers of mean 0.6; the strata differ in difficulty."""
    shares = np.array([0.9, 0.75, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4])
    return (rng.random(192) < shares[STRATA]).astype(float)


def scores(rng):
    """Return 192 skewed scores between 0 and 1, of mean 0.8."""
    return rng.beta(8, 2, 192)


def missed(draw, mean, critical, streams=STREAMS):
    """Return the share of streams in which some look's interval excludes the true mean."""
    rng, weights, count = stream(0, "monitored"), np.full(8, 1 / 8), 0
    for _ in range(streams):
        values = draw(rng)
        for many in LOOKS:
            found, variance, freedom, _ = stratified_mean(values[:many], STRATA[:many], weights)
            variance = max(variance, rare_variance(values[:many]))
            if abs(found - mean) > critical(max(1, int(freedom)), many) * variance**0.5:
                count += 1
                break
    return count / streams


class TestSequence:
    """Looking at every batch."""

    @pytest.mark.parametrize(("draw", "mean"), [(answers, 0.6), (scores, 0.8)])
    def test_the_true_mean_stays_inside_under_continuous_monitoring(self, draw, mean):
        share = missed(draw, mean, lambda freedom, many: critical_anytime(ALPHA, freedom, many, 64))
        assert share <= ALPHA

    def test_repeated_t_tests_miss_it_more_often_than_they_say(self):
        rule = TTest()
        rng, weights, count = stream(0, "monitored"), np.full(8, 1 / 8), 0
        for _ in range(400):
            values = answers(rng)
            looks = (stratified_mean(values[:n], STRATA[:n], weights)[:3] for n in LOOKS)
            count += any(rule.verdict(*look, 16, 0.6, 0.05) is not None for look in looks)
        assert count / 400 > 2 * 0.05

    def test_it_has_the_power_to_decide(self):
        """A mean 0.1 above its floor, of 192 answers: half a width of the interval or more."""
        rng, rule, weights, count = stream(1, "power"), Certain(0.95), np.full(8, 1 / 8), 0
        for _ in range(300):
            values = answers(rng)
            looks = ((n, *stratified_mean(values[:n], STRATA[:n], weights)[:3]) for n in LOOKS)
            count += any(
                rule.verdict(mean, variance, freedom, n, 0.48, 0.05) is True
                for n, mean, variance, freedom in looks
            )
        assert count / 300 > 0.6

    def test_the_bound_for_all_looks_is_wider_than_for_one_and_finite_after_few_items(self):
        for freedom, count in ((8, 32), (60, 64), (180, 192)):
            assert 1.65 < critical_anytime(0.1, freedom, count, 64) < 6
        assert critical_anytime(0.1, 1, 2, 64) == np.inf

    def test_the_t_test_is_the_one_of_the_paper(self):
        for floor in (0.3, 0.49, 0.7, None):
            assert TTest().verdict(0.5, 0.01, 12, 16, floor, 0.05) == decided(
                0.5, 0.01, 12, floor, 0.05
            )

    def test_the_t_test_looks_after_each_batch(self):
        assert TTest().looks(16, 16, 40, int) == [16, 32, 40]
        assert TTest().looks(16, 16, 16, int) == [16]

    @pytest.mark.parametrize(
        ("known", "wanted"), [(0, 16), (9, 16), (16, 32), (30, 40), (40, 40), (50, 50)]
    )
    def test_a_stated_certainty_asks_for_the_next_batch_only(self, known, wanted):
        assert Certain().looks(16, 16, 40, lambda: known) == [wanted]

    def test_a_certainty_of_a_half_or_less_is_refused(self):
        with pytest.raises(ValueError, match="certainty"):
            Certain(0.5)


def test_sixteen_right_answers_do_not_make_the_next_one_certain():
    assert rare_variance(np.ones(16)) == pytest.approx(17 / 18 * 1 / 18 / 16)
    assert rare_variance(np.array([0.5, 1.0, 1.0])) == 0
    assert rare_variance(np.repeat([0.0, 1.0], 10)) == 0
    assert rare_variance(np.zeros(0)) == 0


def test_the_posterior_is_looked_at_again_too():
    sd = np.array([0.2, 0.05, 0.01, 0.0])
    found = critical_posterior(0.95, sd)
    assert (found > 1.644).all()
    assert (np.diff(found) > 0).all(), "more looks have led to a smaller deviation"


GRID = Grid(np.array(list(np.ndindex(4, 3)), dtype=float) / (3.0, 2.0), (1, 1))
CONTENT = np.zeros(2)
TYPICAL = np.array([[0.0, 0.0], [1.0, 1.0]])


def history(configurations, accuracy, items, content=CONTENT, apart=False):
    """Return what another query has shown, with an item variance of 0.2."""
    count = np.full(len(configurations), float(items))
    seen = Seen(np.array(configurations), np.array(accuracy), 0.2 / count, count, apart)
    return History("data", content, np.zeros(0), np.zeros(0), len(configurations), seen=seen)


class TestPooled:
    """One model of accuracy for a data set."""

    def predict(self, *histories, content=CONTENT):
        return PooledAccuracy(GRID, TYPICAL, content, histories).predict()

    def test_other_queries_make_it_more_certain_and_are_not_taken_for_the_query_itself(self):
        _, alone = self.predict()
        _, one = self.predict(history([0], [0.7], 64))
        mean, many = self.predict(*(history([0], [0.7], 1e4) for _ in range(30)))
        assert (one < alone).all()
        assert many[0] < one[0]
        assert many[0] > 0.01, "what content does not explain stays unknown"
        assert mean[0] == pytest.approx(0.7, abs=0.01)

    def test_items_that_configurations_share_tell_less_about_the_level(self):
        three = [0, 5, 11], [0.7, 0.65, 0.6], 16
        _, shared = self.predict(history(*three))
        _, apart = self.predict(history(*three, apart=True))
        assert (apart < shared).all()

    def test_a_richer_choice_is_expected_to_be_more_accurate(self):
        mean, _ = self.predict()
        assert mean.argmax() == 0
        assert mean.argmin() == len(mean) - 1

    def test_a_prior_says_how_certain_it_is_and_which_choices_it_prefers(self):
        def alone(**beliefs):
            return PooledAccuracy(GRID, TYPICAL, CONTENT, [], AccuracyPrior(**beliefs)).predict()

        mean, sd = alone()
        assert alone(level=0.8)[0] == pytest.approx(mean + 0.2)
        assert alone(knob_loss=0.0)[0] == pytest.approx(np.full(len(mean), 0.6))
        for wider in ("level_sd", "knob_scale", "interaction_scale", "query_sd", "own_sd"):
            assert (alone(**{wider: 2 * getattr(AccuracyPrior(), wider)})[1] > sd).all(), wider

    @pytest.mark.parametrize("alike", [1.0, -0.1])
    def test_a_prior_out_of_range_is_refused(self, alike):
        with pytest.raises(ValueError, match=f"alike={alike}"):
            AccuracyPrior(alike=alike)

    def test_content_that_is_far_away_is_less_certain(self):
        known = [history([0, 11], [0.8, 0.6], 1e4)]
        _, near = self.predict(*known)
        _, far = self.predict(*known, content=np.array([1.0, 0.0]))
        assert (far > near).all()

    def test_of_accepted_configurations_few_are_below_the_floor(self):
        """In worlds of different levels, knobs and floors, with a look after each 16 answers."""
        rng, accepted, wrong = stream(3, "worlds"), 0, 0
        for _ in range(300):
            truth = rng.normal(0.6, 0.1) - (GRID.points - 0.5) @ rng.normal(0.05, 0.03, 2)
            floor = rng.uniform(0.8, 1.1) * truth[0]
            model = PooledAccuracy(GRID, TYPICAL, CONTENT, [])
            values = (rng.random(256) < truth[0]).astype(float)
            for many in range(16, 257, 16):
                mean, variance = values[:many].mean(), values[:many].var() / many
                variance = max(variance, rare_variance(values[:many]))
                model.observe_all(
                    [0], np.array([mean]), np.array([variance]), np.array([float(many)])
                )
                mean, sd = model.predict()
                if mean[0] - critical_posterior(0.95, sd)[0] * sd[0] > floor:
                    accepted += 1
                    wrong += truth[0] < floor
                    break
        assert accepted > 60, "it accepts some"
        assert wrong <= 0.05 * accepted
