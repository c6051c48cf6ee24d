"""Applications that are declared: a good file gives the figures of its tables."""

import copy
import itertools
import math

import numpy as np
import polars as pl
import pytest
from declared_watch import DECLARATION, TABLES, declare
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.gpu.compute import fixed_share
from scenarios.applications.application import LanguageModel, NeuralNetwork, reference_generation_s
from scenarios.applications.pipeline import Knob
from scenarios.applications.quantities import Point, Quantities
from scenarios.declaration import DeclaredApplication
from scenarios.numerics.distributions import Constant, Exponential, LogNormal
from scenarios.slo import Tier


def test_figures_are_those_of_the_tables(tables):
    application = declare(tables)
    assert [str(one) for one in application.pipeline.configurations] == [
        f"{rate}/{network}" for rate in (10, 5, 1) for network in ("big", "small")
    ]
    day, night = application.datasets["day"], application.datasets["night"]
    frames = np.array([10, 10, 5, 5, 1, 1])
    big = np.array([True, False] * 3)
    assert day.service_time_s[:, 0] == pytest.approx(frames * 1e-3)
    assert day.service_time_s[:, 1] == pytest.approx(frames * np.where(big, 0.02, 0.01))
    assert day.message_bytes == pytest.approx(
        np.column_stack([np.full(6, 5000), frames * 100, np.full(6, 300)])
    )
    assert day.prompt_tokens[:, 2].tolist() == (frames * 256).tolist()
    assert day.output_tokens[:, 2].tolist() == [20] * 6
    assert day.sequences[:, 2].tolist() == [1] * 6
    assert not day.prompt_tokens[:, :2].any()
    assert day.stratum_weights.tolist() == [0.75, 0.25]
    assert night.stratum_weights.tolist() == [1.0]
    right = np.array([1, 1, 0.9, 0.9, 0.5, 0.5]) * np.where(big, 0.9, 0.7)
    assert day.accuracy == pytest.approx(np.column_stack([right, right * 0.6]))
    assert night.accuracy == pytest.approx(right[:, None] * 0.5)
    assert day.request_size == LogNormal(0.5)
    assert night.request_size == Constant()
    assert (day.output_length, night.output_length) == (Constant(), LogNormal(1.5))


def test_operators_models_and_tiers_are_as_declared(tables):
    application = declare(tables)
    assert [operator.kind for operator in application.operators] == ["cpu", "gpu", "llm"]
    assert application.operators[0].variability == LogNormal(0.2)
    assert application.operators[0].batch_time == "longest"
    average = declare(tables, {"operators.sample.batch_time": "average"})
    assert average.operators[0].batch_time == "average"
    assert application.operators[1].variability == Constant()
    last = application.pipeline.configurations[-1]
    assert application.model(0, last) is None
    assert application.model(1, last) == NeuralNetwork(
        "small", 100_000_000, "resnet50", "resnet50", 3.0, 100.0
    )
    assert application.model(2, last) == LanguageModel("InternVL2-2B", "BF16")
    assert application.tiers == {"fast": Tier(1.0, 1.0, 0.9), "any": Tier(2.0)}
    assert application.interarrival == Constant()
    assert declare(tables, interarrival="poisson").interarrival == Exponential()
    assert application.latency_per == "output_length"


@pytest.mark.parametrize("given", ["batches.mean_s", {1: 2, 4: [2, "rates.scale"]}])
def test_batch_times_of_cpu_operators_are_interpolated_between_measured_sizes(tables, given):
    rates = {"rate": [10, 5, 1], "frames": [10, 5, 1], "accuracy": [1.0, 0.9, 0.5]}
    pl.DataFrame(rates | {"scale": [2.5, 4.0, 1.0]}).write_csv(tables / "rates.csv")
    application = declare(tables, {"operators.sample.batch_factor": given})
    found = [application.batch_factor(0, each) for each in application.pipeline.configurations]
    expected = (1.0, 1.5, 2.0, 2.5), (1.0, 2.0, 3.0, 4.0), (1.0,) * 4
    assert found == [pytest.approx(each) for each in expected for _ in range(2)]
    assert application.batch_factor(1, application.pipeline.configurations[0]) is None
    assert application.largest_batches == (4, 1, 1)


def test_batches_that_were_not_measured_have_no_factor(tables):
    application = declare(tables)
    assert application.batch_factor(0, application.pipeline.configurations[0]) is None
    assert application.largest_batches == (1, 1, 1)


def test_a_language_model_takes_as_long_as_its_tokens_do(tables):
    application = declare(tables)
    seconds = application.datasets["day"].service_time_s[:, 2]
    model = LanguageModel("InternVL2-2B", "BF16")
    for at, frames in ((0, 10), (5, 1)):
        expected = reference_generation_s(model, np.array([frames * 256.0]), np.array([20.0]), 1)
        assert seconds[at] == pytest.approx(expected[0])
    assert (np.diff(seconds) <= 0).all(), "fewer frames, fewer tokens to read"


def test_a_network_without_a_device_ratio_cannot_run_on_a_cpu(tables):
    application = declare(tables, {"operators.see.network.device_ratio": None})
    assert application.model(1, application.pipeline.configurations[0]).device_ratio is None


def test_the_fixed_share_of_networks_is_that_of_their_model_if_work_alone_scales(tables):
    sizes, alike = np.array([0.5, 3.0]), np.ones(2)
    seconds = {}
    for scales in ("all", "work"):
        application = declare(tables, size_scales=scales)
        data, configuration = application.datasets["day"], application.pipeline.configurations[1]
        for operator in (0, 1):
            seconds[scales, operator] = application.item_times_s(
                data, configuration, operator, sizes, alike, alike
            )
    fixed = fixed_share("resnet50", "resnet50", "A100-80GB", "7g.80gb", like_items=3.0)
    assert 0.1 < fixed < 1
    assert seconds["all", 1] == pytest.approx(10 * 0.01 * sizes)
    assert seconds["work", 1] == pytest.approx(10 * 0.01 * (fixed + (1 - fixed) * sizes))
    assert (seconds["work", 0] == seconds["all", 0]).all()  # classical code


def test_columns_of_operators_may_depend_on_the_data_set(tables):
    application = declare(tables, {"operators.see.service_time_s": "content.ease"})
    assert application.datasets["night"].service_time_s[:, 1].tolist() == [0.8] * 6


def test_a_profile_of_whole_configurations_may_depend_on_later_knobs(tables):
    change = {"operators.sample.service_time_s": "networks.seconds"}
    with pytest.raises(ValueError, match="keyed by 'network', but this may depend on rate, data"):
        declare(tables, change)
    application = declare(tables, {**change, "operators.sample.profiled_whole": True})
    assert application.datasets["day"].service_time_s[:, 0].tolist() == [0.02, 0.01] * 3


def test_what_an_operator_runs_never_depends_on_later_knobs(tables):
    change = {
        "operators.see.network.weight_bytes": "late.bytes",
        "operators.see.profiled_whole": True,
        "operators.tell.knobs": {"tone": ["kind", "curt"]},
    }
    pl.DataFrame({"tone": ["kind", "curt"], "bytes": [1, 2]}).write_csv(tables / "late.csv")
    with pytest.raises(ValueError, match="'tone', but this may depend on rate, network alone"):
        declare(tables, change)


def test_an_operator_awaits_those_that_it_names_and_gets_a_message_from_each(tables):
    sizes = {"see": ["rates.frames", 7], "sample": 300}
    application = declare(
        tables, {"operators.tell.after": ["see", "sample"], "operators.tell.message_bytes": sizes}
    )
    pipeline = application.pipeline
    assert pipeline.after == ((), (0,), (1, 0))
    assert pipeline.edges == ((None, 0), (0, 1), (1, 2), (0, 2))
    assert [path.operators for path in pipeline.paths] == [(0, 1, 2), (0, 2)]
    assert [path.edges for path in pipeline.paths] == [(0, 1, 2, 4), (0, 3, 4)]
    frames = np.array([10, 10, 5, 5, 1, 1])
    assert application.datasets["day"].message_bytes == pytest.approx(
        np.column_stack([np.full(6, 5000), frames * 100, frames * 7, np.full(6, 300)])
    )


def test_only_knobs_on_the_ways_to_an_operator_decide_its_work(tables):
    hear = {
        "kind": "cpu",
        "after": ["sample"],
        "knobs": {"ears": [2, 1]},
        "service_time_s": 0.1,
        "message_bytes": 1,
    }
    node = copy.deepcopy(DECLARATION) | {"tables": str(tables)}
    *before, tell = node["operators"].items()
    tell[1].update(after=["see", "hear"], message_bytes={"see": 1, "hear": 1})
    node["operators"] = dict([*before, ("hear", hear), tell])
    pipeline = DeclaredApplication(**node).pipeline
    assert [knob.name for knob in pipeline.knobs] == ["rate", "network", "ears"]
    assert pipeline.upstream_knobs == ((0,), (0, 1), (0, 2), (0, 1, 2))
    configuration = pipeline.configuration(rate=5, network="small", ears=1)
    assert pipeline.operator_key(2, configuration) == (5, 1)
    hear["service_time_s"] = "networks.seconds"
    with pytest.raises(ValueError, match=r"hear.service_time_s=networks.seconds: .*rate, ears"):
        DeclaredApplication(**node)


def test_tables_may_be_parquet_and_larger_than_the_application(tables):
    (tables / "rates.csv").unlink()
    frame = pl.DataFrame(TABLES["rates"]).with_columns(pl.col("rate").cast(pl.Float64))
    more = pl.DataFrame({"rate": [99.0], "frames": [99], "accuracy": [1.0]})
    pl.concat([more, frame]).write_parquet(tables / "rates.parquet")
    application = declare(tables)
    assert application.datasets["day"].service_time_s[:, 0].max() == pytest.approx(0.01)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_whole_numbers_written_as_decimals_are_keys_and_unused_rows_are_ignored(tables, suffix):
    rows = {
        "rate": [math.nan, 10.0, 5.0, 1.0],
        "frames": [7, 10, 5, 1],
        "accuracy": [1, 1, 0.9, 0.5],
    }
    (tables / "rates.csv").unlink()
    getattr(pl.DataFrame(rows, strict=False), f"write_{suffix}")(tables / f"rates.{suffix}")
    application = declare(tables)
    assert application.datasets["day"].service_time_s[::2, 0] == pytest.approx([0.01, 5e-3, 1e-3])
    with pytest.raises(ValueError, match=r"no row for rate=7; .*choose from NaN, 10, 5, 1;"):
        declare(tables, {"operators.sample.knobs.rate": [10, 7]})


def test_a_text_with_a_point_is_a_key_of_its_own(tables):
    (tables / "rates.csv").write_text("rate,frames,accuracy\n1.0,10,1\n1,5,0.9\n2.0,1,0.5\n")
    application = declare(tables, {"operators.sample.knobs.rate": ["1.0", "2.0"]})
    assert application.datasets["day"].service_time_s[::2, 0] == pytest.approx([0.01, 1e-3])
    with pytest.raises(ValueError, match="has 2 rows for rate=1"):
        declare(tables, {"operators.sample.knobs.rate": [1, 2]})


def test_fewer_choices_read_fewer_rows(tables):
    application = declare(tables, {"operators.sample.knobs.rate": [5]})
    assert len(application.pipeline.configurations) == 2
    assert application.datasets["day"].prompt_tokens[:, 2].tolist() == [1280, 1280]


@st.composite
def _spaces(draw):
    knobs = tuple(
        Knob(f"knob{i}", tuple(range(draw(st.integers(1, 4)))))
        for i in range(draw(st.integers(1, 4)))
    )
    strata = tuple(f"s{i}" for i in range(draw(st.integers(1, 3))))
    keys = [knob.name for knob in knobs if draw(st.booleans())]
    by_dataset, by_stratum = draw(st.booleans()), draw(st.booleans())
    order = draw(st.randoms(use_true_random=False))
    return knobs, strata, keys, by_dataset, by_stratum, order


@given(_spaces())
def test_a_column_is_found_whatever_its_table_is_keyed_by(tmp_path_factory, space):
    knobs, strata, keys, by_dataset, by_stratum, order = space
    axes = {knob.name: list(knob.choices) for knob in knobs if knob.name in keys}
    if by_dataset:
        axes["dataset"] = ["a", "b"]
    if by_stratum:
        axes["stratum"] = [*strata, "elsewhere"]
    rows = [dict(zip(axes, key, strict=True)) for key in itertools.product(*axes.values())]
    order.shuffle(rows)
    for value, row in enumerate(rows):
        row["value"] = value + 0.5
    folder = tmp_path_factory.mktemp("tables")
    pl.DataFrame(rows).write_csv(folder / "table.csv")
    quantities = Quantities(str(folder), knobs, "application.tables")
    for dataset in ("a", "b"):
        found = quantities.numbers(["table.value", 2], "here", Point(dataset, strata))
        assert found.shape == (math.prod(len(knob.choices) for knob in knobs), len(strata))
        for at, values in enumerate(itertools.product(*(knob.choices for knob in knobs))):
            for s, stratum in enumerate(strata):
                wanted = {knob.name: value for knob, value in zip(knobs, values, strict=True)}
                wanted |= {"dataset": dataset, "stratum": stratum}
                (row,) = [one for one in rows if all(one[key] == wanted[key] for key in axes)]
                assert found[at, s] == 2 * row["value"]
