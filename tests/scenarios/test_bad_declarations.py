"""Bad declarations of applications, and bad tables: what is said of them."""

import math
import re

import polars as pl
import pytest
from declared_watch import DELETE, TABLES, declare

BOTH = ["sample", "see"]


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
