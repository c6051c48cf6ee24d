"""Applications that are declared: what a good file gives, and the messages for bad ones."""

import copy
import itertools
import math
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.gpu.compute import fixed_share
from scenarios.applications import item_accuracy
from scenarios.applications.application import LanguageModel, NeuralNetwork, reference_generation_s
from scenarios.applications.pipeline import Knob
from scenarios.applications.quantities import Point, Quantities
from scenarios.declaration import DeclaredApplication
from scenarios.numerics.distributions import Constant, Exponential, LogNormal
from scenarios.slo import Tier

TABLES = {
    "rates": {"rate": [10, 5, 1], "frames": [10, 5, 1], "accuracy": [1.0, 0.9, 0.5]},
    "networks": {
        "network": ["big", "small"],
        "seconds": [0.02, 0.01],
        "bytes": [4e8, 1e8],
        "ratio": [200.0, 100.0],
        "accuracy": [0.9, 0.7],
    },
    "content": {"dataset": ["day", "night"], "ease": [1.0, 0.8], "size_cv": [0.5, 0.0]},
    "hours": {
        "dataset": ["day", "day", "night"],
        "stratum": ["noon", "dusk", "dark"],
        "weight": [3, 1, 7],
        "ease": [1.0, 0.6, 0.5],
    },
    "constants": {"answer_tokens": [20]},
    "batches": {
        "rate": [10, 5, 1] * 2,
        "batch": [1, 1, 1, 4, 4, 4],
        "mean_s": [0.1, 0.2, 0.5, 0.25, 0.8, 0.5],
    },
}
DECLARATION = {
    "name": "watch",
    "requests_per_s": 1.0,
    "interarrival": "periodic",
    "window_s": 30.0,
    "answer_bytes": 200.0,
    "latency_per": "output_length",
    "operators": {
        "sample": {
            "kind": "cpu",
            "knobs": {"rate": [10, 5, 1]},
            "service_time_s": ["rates.frames", 0.001],
            "message_bytes": 5000,
            "service_cv": 0.2,
        },
        "see": {
            "kind": "gpu",
            "knobs": {"network": ["big", "small"]},
            "service_time_s": ["rates.frames", "networks.seconds"],
            "message_bytes": ["rates.frames", 100],
            "network": {
                "name": "networks.network",
                "weight_bytes": "networks.bytes",
                "like": "resnet50",
                "benchmark": "resnet50",
                "like_items": 3,
                "device_ratio": "networks.ratio",
            },
        },
        "tell": {
            "kind": "llm",
            "language_model": {"name": "InternVL2-2B", "precision": "BF16"},
            "prompt_tokens": ["rates.frames", 256],
            "output_tokens": "constants.answer_tokens",
            "message_bytes": 300,
        },
    },
    "accuracy": {
        "rule": "product",
        "factors": ["rates.accuracy", "networks.accuracy", "hours.ease"],
        "spread": "success",
    },
    "datasets": {
        "day": {"request_size_cv": "content.size_cv", "strata": "hours.weight"},
        "night": {
            "request_size_cv": "content.size_cv",
            "output_length_cv": 1.5,
            "strata": "hours.weight",
        },
    },
    "tiers": {"fast": {"latency_s": 1.0, "accuracy_of_best": 0.9}, "any": {"weight": 2.0}},
}


@pytest.fixture
def tables(tmp_path):
    for name, columns in TABLES.items():
        pl.DataFrame(columns).write_csv(tmp_path / f"{name}.csv")
    return tmp_path


def declare(tables, change=None, **keys):
    """Build the application above with a value changed, by its path; DELETE takes a key away."""
    node = copy.deepcopy(DECLARATION) | {"tables": str(tables)}
    for path, value in {**(change or {}), **keys}.items():
        *parents, last = path.split(".")
        at = node
        for one in parents:
            at = at[one]
        if value is DELETE:
            del at[last]
        else:
            at[last] = value
    return DeclaredApplication(**node)


DELETE = "(taken away)"
BOTH = ["sample", "see"]


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


BAD = [
    ({"operators.see.kind": "gpus"}, "operators.see.kind=gpus: no such kind of operator", "'gpu'?"),
    ({"operators.see.kind": None}, "operators.see.kind=null", "cpu, gpu, llm"),
    ({"operators": {}}, "application.operators={}", "one at least"),
    (
        {"operators.answer": {"kind": "cpu", "service_time_s": 1.0, "message_bytes": 1.0}},
        "application.operators.answer: results call the way back",
        "another name",
    ),
    ({"operators.see": 3}, "application.operators.see=3", "must be a mapping"),
    ({"operators.see.after": "sample"}, "see.after=sample: must be a list of names of", ""),
    ({"operators.see.after": ["tell"]}, "see.after=[tell]: tell does not stand before", "sample'?"),
    ({"operators.see.after": ["see"]}, "see.after=[see]: see does not stand before see", ""),
    ({"operators.tell.after": ["se"]}, "tell.after=[se]: se does not stand", "did you mean 'see'"),
    (
        {"operators.see.after": []},
        "see.after=[]: only sample, the first, gets the",
        "one of sample",
    ),
    ({"operators.see.after": ["sample"] * 2}, "after=[sample, sample]: must not name", "twice"),
    ({"operators.sample.after": ["see"]}, "sample.after=[see]: the first operator gets", ""),
    ({"operators.tell.after": ["sample"]}, "operators.see: nothing comes after it; only tell", ""),
    ({"operators.tell.after": BOTH}, "message_bytes=300: must map each of sample, see to", ""),
    (
        {"operators.tell.after": BOTH, "operators.tell.message_bytes": {"sample": 1}},
        "application.operators.tell.message_bytes.see: is missing",
        "sample, see",
    ),
    (
        {"operators.tell.after": BOTH, "operators.tell.message_bytes": {"seen": 1, "sample": 2}},
        "application.operators.tell.message_bytes.seen=1: no such key",
        "did you mean 'see",
    ),
    ({"operators.see.message_bytes": {"sample": 1}}, "see.message_bytes=", "must be a number"),
    ({"operators.see.knob": {}}, "operators.see.knob={}: no such key", "did you mean 'knobs"),
    ({"operators.see.network": DELETE}, "application.operators.see.network: is missing", ""),
    ({"operators.sample.message_bytes": DELETE}, "sample.message_bytes: is missing", ""),
    ({"operators.tell.service_time_s": 1.0}, "tell.service_time_s=1.0: no such key", ""),
    ({"operators.sample.service_cv": -1}, "sample.service_cv=-1: must be a number from 0", ""),
    (
        {"operators.sample.service_cv": 1e200},
        "service_cv=1e+200: must be a number from 0 to 1000",
        "",
    ),
    (
        {"datasets.day.request_size_cv": 1e200},
        "datasets.day.request_size_cv=1e+200: is 1e+200; must be",
        "1000",
    ),
    ({"operators.sample.service_time_s": -1}, "sample.service_time_s=-1: is -1; must be", ""),
    ({"operators.sample.service_time_s": [1e308, 1e308]}, "is inf; must be a finite number", ""),
    ({"operators.sample.service_time_s": [1e308, 10, 0]}, "is nan; must be a finite number", ""),
    ({"accuracy.factors": [-1e308, 1e308]}, "accuracy.factors=[-1e+308, 1e+308]: is -inf; mus", ""),
    ({"operators.see.network.device_ratio": 0}, "device_ratio=0: is 0; must be above 0", ""),
    ({"operators.see.network.like_items": 0}, "like_items=0: is 0; must be above 0", ""),
    ({"operators.sample.service_time_s": True}, "sample.service_time_s=true: must be a num", ""),
    ({"operators.sample.service_time_s": []}, "sample.service_time_s=[]: must not be empty", ""),
    ({"operators.sample.service_time_s": "fast"}, "service_time_s=fast: must be a number, t", ""),
    ({"operators.sample.service_time_s": math.nan}, "service_time_s=nan: must be a number, t", ""),
    ({"operators.sample.service_time_s": "rate.frames"}, "no table 'rate'", "did you mean 'rates"),
    (
        {"operators.sample.service_time_s": "rates.frame"},
        "no column 'frame'",
        "did you mean 'frames",
    ),
    ({"operators.see.service_time_s": "networks.network"}, "'big' is not allowed", "a finite n"),
    ({"operators.sample.service_time_s": "hours.ease"}, "keyed by 'stratum'", "rate, dataset al"),
    ({"operators.see.network.weight_bytes": "content.ease"}, "'dataset'", "rate, network alone"),
    ({"operators.sample.knobs.rate": [10, 50]}, "no row for rate=50", "did you mean '5'"),
    (
        {"operators.see.knobs.network": ["big", "smal"]},
        "no row for network=smal",
        "did you mean 's",
    ),
    ({"operators.sample.knobs.rate": []}, "sample.knobs.rate=[]: must be a list of", ""),
    ({"operators.sample.knobs.rate": 10}, "sample.knobs.rate=10: must be a list of", ""),
    ({"operators.sample.knobs.rate": [10, 1.5]}, "knobs.rate=[10, 1.5]: must be a list of", ""),
    ({"operators.sample.knobs.rate": [10, 10]}, "knobs.rate=[10, 10]: must not name", ""),
    ({"operators.sample.knobs": {"unit": [1]}}, "sample.knobs.unit=[1]: no knob may be", ""),
    ({"operators.see.knobs": {"rate": [1]}}, "see.knobs.rate=[1]: operator sample has", ""),
    (
        {"operators.sample.batch_time": "avarage"},
        "batch_time=avarage: no such batch time; choose from longest, average",
        "did you mean 'average",
    ),
    (
        {"operators.see.batch_factor": "batches.mean_s"},
        "see.batch_factor=batches.mean_s: no such",
        "",
    ),
    ({"operators.sample.batch_factor": 2}, "batch_factor=2: must be a table.column", ""),
    ({"operators.sample.batch_factor": "rates.frames"}, "'rates' has no column 'batch'", ""),
    ({"operators.sample.batch_factor": "batches.rate_s"}, "no column 'rate_s'", "choose from"),
    (
        {"operators.sample.batch_factor": {}},
        "batch_factor={}: must have a time for a batch of 1",
        "",
    ),
    ({"operators.sample.batch_factor": {2: 1.5}}, "must have a time for a batch of 1", ""),
    ({"operators.sample.batch_factor": {1: 1, 0: 1}}, "0 is no size of a batch", "1 to 1024"),
    ({"operators.sample.batch_factor": {1: 1, 2: 0}}, "batch_factor={1: 1, 2: 0}: is 0; must", ""),
    ({"operators.sample.batch_factor": {1: 1, 2: "networks.seconds"}}, "'network', but this", ""),
    ({"operators.tell.batch_time": "average"}, "tell.batch_time=average: no such key", ""),
    ({"operators.sample.profiled_whole": 1}, "profiled_whole=1: must be true or false", ""),
    ({"operators.see.network.like": "resnet5"}, "network.like=resnet5: no such model", "resnet50"),
    (
        {"operators.see.network.benchmark": "bert"},
        "benchmark=bert: no such",
        "did you mean 'bert-99",
    ),
    ({"operators.see.network.nam": "x"}, "network.nam=x: no such key", "did you mean 'name"),
    ({"operators.see.network.name": 5}, "network.name=5: must be a text", ""),
    ({"operators.tell.language_model.name": "InternVL2-2"}, "no such language model", "VL2-2B'?"),
    ({"operators.tell.language_model.precision": "BF1"}, "precision=BF1: no such prec", "BF16'?"),
    ({"operators.tell.sequences": 1.5}, "tell.sequences=1.5: is 1.5; must be a whole", ""),
    ({"operators.tell.output_tokens": 0}, "tell.output_tokens=0: is 0; must be a number of 1", ""),
    ({"accuracy.rule": "produkt"}, "accuracy.rule=produkt: no such rule", "did you mean 'product"),
    (
        {"accuracy": {"rule": "best_of", "one": 2, "attempts": 1, "concentration": 1, "spread": 0}},
        "application.accuracy.rule=best_of: on day, best_of: one=2 must be between 0 and 1",
        "",
    ),
    ({"accuracy": 1.0}, "application.accuracy=1.0: must be a mapping", ""),
    ({"accuracy.factors": DELETE}, "application.accuracy.factors: is missing", ""),
    (
        {"accuracy.factor": 1},
        "accuracy.factor=1: no such key; choose from rule, spread, factors, spreads,",
        "",
    ),
    ({"accuracy.factors": 1.5}, "accuracy.rule=product: on day, accuracy is 1.5; must", ""),
    ({"accuracy.factors": -0.5}, "spread=success: on day, a mean accuracy is -0.5", ""),
    ({"accuracy.spread": 0.9}, "accuracy.spread=0.9: on day, a standard deviation of 0.9", ""),
    ({"accuracy.spread": "succes"}, "accuracy.spread=succes: must be", "success"),
    ({"accuracy.spread": {"quantiles": [1]}}, "accuracy.spread.probabilities: is missing", ""),
    (
        {"accuracy.spread": {"quantiles": [1], "probabilities": [0, 1]}},
        "must be two lists of equal length",
        "",
    ),
    (
        {"accuracy.spread": {"quantiles": [0, 1], "probabilities": [0, 0.9]}},
        "on day, probabilities must start at 0 and end at 1",
        "",
    ),
    (
        {"accuracy.spread": {"quantiles": [1, 0], "probabilities": [0, 1]}},
        "on day, accuracies must not fall",
        "",
    ),
    (
        {"accuracy.spread": {"quantiles": [0, 1], "probabilities": [0, 1]}},
        "the mean under the quantiles is 0.5 where the mean accuracy is",
        "",
    ),
    ({"datasets": {}}, "application.datasets={}: must map names to data sets", ""),
    ({"datasets.day.size": 1}, "datasets.day.size=1: no such key", "request_size_cv"),
    ({"datasets.day.request_size_cv": "rates.frames"}, "may depend on dataset alone", ""),
    ({"datasets.day.strata": "content.ease"}, "a table keyed by dataset and stratum", ""),
    ({"datasets.day.strata": 3}, "datasets.day.strata=3: must be a table.column", ""),
    ({"datasets.dawn": {"strata": "hours.weight"}}, "data set 'dawn' one row for each", ""),
    ({"datasets.dawn": {}}, "no row for dataset=dawn", "did you mean 'da"),
    ({"tiers.fast.latency": 1}, "tiers.fast.latency=1: no such key", "did you mean 'latency_s"),
    ({"tiers.fast.latency_s": "1"}, "tiers.fast.latency_s=1: must be a number", ""),
    ({"tiers.fast.weight": None}, "tiers.fast.weight=null: must be a number of 0 or more", ""),
    ({"tiers.fast.latency_s": 0}, "application.tiers.fast.latency_s=0: must be above 0", ""),
    ({"size_scales": "wrk"}, "application.size_scales='wrk': choose all or work", ""),
    ({"interarrival": "periodi"}, "application.interarrival=periodi", "did you mean 'periodic"),
    ({"requests_per_s": 0}, "application.requests_per_s=0: must be above 0", ""),
    ({"tables": "speech_recognitio"}, "tables=speech_recognitio: no such", "recognition'?"),
]


@pytest.mark.parametrize(("change", "said", "hint"), BAD, ids=lambda case: str(case)[:60])
def test_a_bad_declaration_is_told_what_is_wrong_in_one_sentence(tables, change, said, hint):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        declare(tables, change)
    message = str(caught.value)
    assert message.startswith("application.")
    assert hint in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "rate,frames,accuracy\n10,10,1\n5,5,1\n5,5,1\n1,1,1\n",
            "has 2 rows for rate=5",
        ),
        ("rate,frames,accuracy\n10,10,1\n5,x,1\n1,1,1\n", "rates.csv, row 3, column 'frames': 'x'"),
        ("rate,frames,accuracy\n10,10,1\n5,,1\n1,1,1\n", "rates.csv, row 3, column 'frames': None"),
        ("frames,accuracy\n10,1\n5,1\n", "keyed by nothing, so it must have 1 row, not 2"),
        ("", "rates.csv: is no CSV or Parquet file"),
    ],
)
def test_a_bad_table_is_told_where(tables, rows, said):
    (tables / "rates.csv").write_text(rows)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        declare(tables)
    assert str(caught.value).startswith("application.operators.sample.service_time_s=")


@pytest.mark.parametrize(
    ("table", "column", "said"),
    [
        ("rates", "rate", "rates.parquet, row 2, column 'rate': [10] is not allowed; give text"),
        ("rates", "frames", "column 'frames': [10] is not allowed; give a finite number"),
        ("hours", "stratum", "column 'stratum': ['noon'] is not allowed; give text"),
        ("hours", "dataset", "column 'dataset': ['day'] is not allowed; give text"),
    ],
)
def test_lists_in_a_table_are_told(tables, table, column, said):
    frame = pl.DataFrame(TABLES[table]).with_columns(pl.concat_list(column))
    (tables / f"{table}.csv").unlink()
    frame.write_parquet(tables / f"{table}.parquet")
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        declare(tables)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "rows", "said"),
    [
        (
            "rates",
            "rate,frames,accuracy\n10,10,1\n5,-5,1\n1,1,1\n",
            "[rates.frames, 0.001]: is -0.005; must be a number of 0 or more; "
            "rates.csv, row 3, column 'frames' is -5",
        ),
        (
            "networks",
            "network,seconds,bytes,ratio,accuracy\nbig,0.02,4e8,200,92.15\nsmall,1,1e8,1,1\n",
            "accuracy is 92.15; must be 1 or less; networks.csv, row 2, column 'accuracy' is 92.15",
        ),
    ],
)
def test_values_out_of_bounds_are_reported_by_file_and_row(tables, table, rows, said):
    (tables / f"{table}.csv").write_text(rows)
    with pytest.raises(ValueError, match=re.escape(said)):
        declare(tables)


def test_two_files_of_one_table_are_refused(tables):
    pl.DataFrame(TABLES["rates"]).write_parquet(tables / "rates.parquet")
    with pytest.raises(ValueError, match=r"rates\.csv and rates\.parquet both hold"):
        declare(tables)


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


SHARES = st.floats(0, 1, allow_subnormal=False)


@given(st.lists(SHARES, min_size=1, max_size=5), st.floats(0, 0.99))
def test_items_of_a_beta_distribution_keep_mean_and_bounds(means, part):
    mean = np.array(means)[:, None]
    sd = part * np.sqrt(mean * (1 - mean))
    grid, values = item_accuracy.beta(mean, sd)
    assert item_accuracy.mean_of((grid, values)) == pytest.approx(mean, abs=1e-9)
    assert values.min() >= -1e-12
    assert values.max() <= 1 + 1e-12
    assert (np.diff(values, axis=-1) >= -1e-9).all()


def test_items_of_a_beta_distribution_have_the_deviation():
    mean, sd = np.array([[0.7], [0.3]]), np.array([[0.1], [0.2]])
    curve = item_accuracy.beta(mean, sd)
    ranks = (np.arange(100_000) + 0.5) / 100_000
    for at in range(2):
        items = np.interp(ranks, curve[0][at, 0], curve[1][at, 0])
        assert items.std() == pytest.approx(sd[at, 0], rel=0.02)


@pytest.mark.parametrize(
    ("sd", "larger"),
    [(0.3, 0.0), (0.1, 0.006), (0.05, 0.03), (0.03, 0.08), (0.02, 0.17), (0.01, 0.56)],
)
def test_small_deviations_are_raised_as_documented(sd, larger):
    grid, values = (one[0, 0] for one in item_accuracy.beta(np.array([[0.8]]), np.array([[sd]])))
    low, high = values[:-1], values[1:]
    squares = np.diff(grid) @ (low**2 + low * high + high**2) / 3
    assert math.sqrt(squares - 0.8**2) / sd - 1 == pytest.approx(larger, abs=0.006)


@given(SHARES)
def test_items_are_right_as_often_as_the_mean_says(share):
    grid, values = item_accuracy.success(np.array([[share]]))
    assert item_accuracy.mean_of((grid, values)) == pytest.approx(share)
    ranks = (np.arange(1000) + 0.5) / 1000
    items = np.interp(ranks, grid[0, 0], values[0, 0])
    assert set(np.unique(items)) <= {0.0, 1.0}
    assert items.mean() == pytest.approx(share, abs=1e-3)
