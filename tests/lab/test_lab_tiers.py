"""The group ``tiers`` and the key ``workload.slo_scale``: classes of service by one word."""

from dataclasses import replace

import pytest

from lab.common.errors import InputError
from lab.common.options import groups
from lab.config.compose import compose, set_up
from scenarios.applications.shipped import shipped_applications
from scenarios.queries import births

USUAL = ("speech_recognition",)
"""Applications that are tried in each run of the tests; others differ in numbers alone."""
SHORT = ["experiment=speech_small", "horizon_s=120", "planner=greedy"]


def scenario(*overrides):
    words = [*SHORT, *overrides]
    return set_up(compose(words), words).scenario()


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(name, marks=[] if name in USUAL else pytest.mark.slow)
        for name in shipped_applications()
    ],
)
def test_classes_follow_those_of_the_application(application):
    made = {name: scenario(f"application={application}", f"tiers={name}") for name in TIERS}
    own = made["application"].application.tiers
    assert made["application"].tiers == own
    assert made["strict"].tiers == {"premium": own["premium"]}
    assert made["loose"].tiers == {"economy": own["economy"]}
    gold, silver = made["gold_silver"].tiers.values()
    assert gold == own["premium"]
    assert silver == replace(own["standard"], weight=3.0)


TIERS = groups()["tiers"]


def test_a_scale_of_one_changes_nothing_and_others_scale_every_bound_of_latency():
    usual, loose = scenario(), scenario("workload.slo_scale=2.5", "tiers=application")
    assert scenario("workload.slo_scale=1").tiers is not None
    for (query, truth), (same, its) in zip(births(usual, 901), births(loose, 901), strict=True):
        assert same.slo == query.slo._replace(latency_s=2.5 * query.slo.latency_s)
        assert same._replace(slo=query.slo) == query
        assert its.departure_s == truth.departure_s


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["tiers=stric"], "tiers=stric: there is no such tiers; choose .*did you mean 'strict'"),
        (["workload.slo_scale=0"], "workload.slo_scale=0.0: must be above 0, and 1000 or less"),
        (
            ["workload.tiers={a: {latency_s: 9e7}}", "workload.slo_scale=9"],
            "workload.slo_scale=9.0: with it, class a has latency_s=810000000.0: must be above 0",
        ),
        (
            ["tiers=strict", "~application.tiers.premium"],
            "there is no key application.tiers.premium.latency_s to take a value from",
        ),
    ],
)
def test_bad_classes_are_refused_in_a_sentence(overrides, reason):
    with pytest.raises(InputError, match=reason):
        scenario(*overrides)
