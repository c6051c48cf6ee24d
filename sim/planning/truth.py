"""Computation of the true properties of queries, for planners that serve as bounds."""

from collections.abc import Hashable
from math import prod

import numpy as np

from scenarios.applications.application import Application, LanguageModel
from scenarios.applications.dataset import Dataset
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query, QueryTruth
from scenarios.random_streams import stream
from sim.api.choices import Choices
from sim.api.truth import Truth
from sim.catalogue.catalogue import BACKHAUL, UP, Catalogue, Crossing
from sim.planning.plan_views import Links, PlanViews, nominal_links

ITEMS = 16_384  # number of sampled items, for moments that have no formula

MOMENTS = 512  # largest number of start times over which transmission is averaged


class Truths:
    """Computes the true properties of the queries of one run."""

    def __init__(self, application: Application, nominal: Catalogue, views: PlanViews) -> None:
        self._application = application
        self._nominal = nominal
        self._views = views
        self._times: dict[str, tuple[Floats, Floats, Floats]] = {}

    def of(self, query: Query, truth: QueryTruth, now_s: float, choices: Choices) -> Truth:
        """Return the true properties of a living query at time ``now_s``."""
        if query.dataset not in self._times:
            dataset = self._application.datasets[query.dataset]
            self._times[query.dataset] = _request_times(self._application, dataset)
        times_s, time_cv, normalised = self._times[query.dataset]
        nominal = nominal_links(self._nominal, query)
        view = self._views.with_links(query, choices, _links(query, truth, now_s, nominal))
        slowdowns = [factor for at_s, factor in truth.slowdowns if at_s <= now_s]
        speed = np.where(view.station < 0, truth.device_factor * prod(slowdowns), 1.0)
        weights = [mix for i, (at_s, mix) in enumerate(truth.content) if i == 0 or at_s <= now_s]
        return Truth(
            view.at_speed(speed),
            times_s,
            time_cv,
            normalised,
            self._application.datasets[query.dataset].expected_accuracy(weights[-1]),
        )


def _links(query: Query, truth: QueryTruth, now_s: float, nominal: Links) -> Links:
    begin = max(0, int(now_s - query.arrival_s))

    def sent_s(crossing: Crossing, size: Floats) -> Floats:
        if crossing.link == BACKHAUL:
            return nominal.sent_s(crossing, size)
        up = crossing.direction == UP
        series = truth.uplink_bytes_per_s if up else truth.downlink_bytes_per_s
        return mean_transmission_s(series[min(begin, len(series) - 1) :], size)

    def propagation_s(crossing: Crossing) -> float:
        if crossing.link == BACKHAUL:
            return nominal.propagation_s(crossing)
        return truth.access_rtt_s / 2

    return Links(sent_s, propagation_s)


def mean_transmission_s(bytes_per_s: Ints, size: Floats) -> Floats:
    """Return the mean time in seconds to send each of m messages without queueing.

    ``size`` is the size of each message in bytes, of shape (m,). ``bytes_per_s`` is the link's
    capacity in each of the next n seconds, of shape (n,). Later, the capacity stays that of the
    last second. A message's transmission ends when the capacities since its start add up to its
    size. Its duration is averaged over evenly spaced starts.
    """
    ends = np.arange(len(bytes_per_s) + 1.0)
    carried = np.concatenate(([0.0], np.cumsum(bytes_per_s, dtype=np.float64)))
    starts = np.unique(np.linspace(0, len(bytes_per_s) - 1, MOMENTS).astype(np.int64))
    until = carried[starts] + size[:, None]
    beyond = np.maximum(0.0, until - carried[-1]) / bytes_per_s[-1]
    finish_s = np.interp(until, carried, ends) + beyond
    mean: Floats = (finish_s - starts).mean(axis=1)
    return mean


def _request_times(application: Application, dataset: Dataset) -> tuple[Floats, Floats, Floats]:
    """Return operators' mean times, the coefficient of variation of their sum, and ``normalised``.

    The shapes are (C, N), (C,) and (C, 2). The application declares the mean times of operators
    that are not language models; all other values are moments of a random sample.
    """

    def of(purpose: str) -> np.random.Generator:
        return stream(0, "truth", application.name, dataset.name, purpose)

    size = dataset.request_size.draw(of("size"), ITEMS)
    length = dataset.output_length.draw(of("length"), ITEMS)
    allowance = length if application.latency_per == "output_length" else np.ones(ITEMS)
    factors = [
        operator.variability.draw(of(operator.name), ITEMS) for operator in application.operators
    ]
    pipeline = application.pipeline
    times: dict[Hashable, Floats] = {}
    mean_s = dataset.service_time_s.copy()
    time_cv = np.zeros(len(mean_s))
    normalised = np.ones((len(mean_s), 2))
    for configuration in pipeline.configurations:
        total_s = np.zeros(ITEMS)
        for operator, factor in enumerate(factors):
            key = operator, pipeline.operator_key(operator, configuration)
            if key not in times:
                times[key] = application.item_times_s(
                    dataset, configuration, operator, size, length, factor
                )
            total_s += times[key]
            if isinstance(application.model(operator, configuration), LanguageModel):
                mean_s[configuration.index, operator] = times[key].mean()
        allowed_s = total_s / allowance
        time_cv[configuration.index] = allowed_s.std() / allowed_s.mean()
        normalised[configuration.index] = (
            allowed_s.mean() / total_s.mean(),
            (1 / allowance).mean(),
        )
    for array in (mean_s, time_cv, normalised):
        array.setflags(write=False)
    return mean_s, time_cv, normalised
