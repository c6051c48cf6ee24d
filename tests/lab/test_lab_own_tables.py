"""A user's own tables: merged or replaced by configuration, in that run and in no other."""

import polars as pl
import pytest

from hardware_models.tables import load_table, using_tables
from lab import run
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.config.preflight import warnings
from scenarios.cluster import Node

SHORT = ["experiment=speech_small", "horizon_s=60", "planner=videostorm"]


@pytest.fixture(scope="module")
def plain():
    """Return the result of a run that uses the tables of the package."""
    return run(SHORT)


@pytest.fixture(scope="module")
def slower(tmp_path_factory):
    """Write a table in which every GPU is ten times as slow on fewer than 7 slices."""
    table = load_table("gpu_latency")
    slow = pl.when(pl.col("mig_gpcs") < 7).then(10.0).otherwise(1.0)
    path = tmp_path_factory.mktemp("tables") / "slower.csv"
    table.with_columns(pl.col("batch_latency_ms") * slow).write_csv(path)
    return path


def bill(result):
    return result.summary["deployment_cost_usd"]


@pytest.mark.parametrize("how", ["merge", pytest.param("replace", marks=pytest.mark.slow)])
def test_a_run_uses_the_users_table_and_the_next_does_not(plain, slower, how):
    before = plain
    during = run([*SHORT, f"tables.gpu_latency={{path: {slower}, how: {how}}}"])
    after = run(SHORT)
    if how == "merge":
        assert run([*SHORT, f"tables.gpu_latency={slower}"]).decisions.equals(during.decisions)
    assert during.decisions["plan"].to_list() != before.decisions["plan"].to_list()
    assert after.decisions.equals(before.decisions)
    assert after.queries.equals(before.queries)


def test_own_prices_are_billed(tmp_path):
    prices = load_table("prices")
    path = tmp_path / "prices.parquet"
    prices.with_columns(pl.col("price_usd_per_hour") * 3).write_parquet(path)
    lavish = [*SHORT, "application.tiers.economy.cost_usd_per_hour=1000"]
    dear = run([*lavish, f"tables.prices={path}"])
    cheap = run(lavish)
    assert dear.decisions["plan"].to_list() == cheap.decisions["plan"].to_list()
    assert bill(dear) == pytest.approx(3 * bill(cheap), rel=0.01)


def own(tmp_path, name, frame, how="replace"):
    """Write a table, and return the override that uses it."""
    path = tmp_path / f"{name}.csv"
    frame.write_csv(path)
    return f"tables.{name}={{path: {path}, how: {how}}}"


def refused(overrides):
    """Return the sentence by which a configuration is refused."""
    with pytest.raises(InputError) as caught:
        set_up(compose(overrides), overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def own_rows(tmp_path):
    table = load_table("gpu_latency").filter(pl.col("model") == "resnet50")
    path = tmp_path / "rows.csv"
    table.with_columns(model=pl.lit("my_net")).write_csv(path)
    return f"tables.gpu_latency={path}"


def warned(overrides):
    return warnings(set_up(compose(overrides), overrides))


def test_rows_that_no_operator_follows_are_a_warning(tmp_path):
    said = warned([*SHORT, own_rows(tmp_path)])
    assert [one for one in said if "my_net, so these rows have no effect" in one] == said != []


def test_an_operator_cannot_be_like_a_model_without_rows_of_the_reference(tmp_path):
    table = load_table("gpu_latency").filter(pl.col("model") == "resnet50")
    rows = table.with_columns(model=pl.lit("my_net"), gpu=pl.lit("L4"), mig_gpcs=1)
    rows = rows.unique(["batch", "mps_procs"], maintain_order=True)
    like = "application.operators.wave_to_text.network.like=my_net"
    said = refused([*SHORT, own(tmp_path, "gpu_latency", rows, "merge"), like])
    assert said.startswith(f"{like}: no such model of table gpu_latency with rows of an A100-80GB")


def test_rows_that_an_operator_follows_are_none(tmp_path):
    followed = "application.operators.wave_to_text.network.like=my_net"
    assert warned([*SHORT, own_rows(tmp_path), followed]) == []


def test_a_region_of_ones_own_has_its_own_prices_and_the_egress_of_another(tmp_path):
    machine = "a2-highgpu-1g"
    mine = load_table("prices").filter(pl.col("item") == machine, pl.col("purchase") == "on-demand")
    path = tmp_path / "mine.csv"
    mine.head(1).with_columns(region=pl.lit("basement"), price_usd_per_hour=pl.lit(7.25)).write_csv(
        path
    )
    there = ["cluster.nodes.cloud.region=basement", f"cluster.nodes.cloud.machine={machine}"]
    done = run([*SHORT, f"tables.prices={path}", *there])
    node = done.scenario.cluster.nodes["cloud"]
    with using_tables(done.scenario.tables):
        assert node.price_usd_per_hour == 7.25
        assert node.egress_usd_per_byte == Node(machine=machine).egress_usd_per_byte


def test_without_round_trips_to_far_servers_that_to_the_cloud_must_be_given(tmp_path):
    far = pl.col("quantity") == "rtt_far"
    mine = [
        *SHORT,
        own(tmp_path, "link_technologies", load_table("link_technologies").filter(~far)),
    ]
    assert refused(mine).startswith("network.backhaul_rtt_s=null: give it, since the tables cannot")
    for given in ("network.backhaul_rtt_s=0.04", "network.backhaul_km=400"):
        overrides = [*mine, given]
        assert set_up(compose(overrides), overrides).scenario().network.backhaul_round_trip_s > 0


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("compute_ratios", "quantity", "reference_cpu_relative_speed"),
        ("board_assumptions", "quantity", "offline_batch"),
        ("path_propagation", "quantity", "route_factor"),
        ("path_propagation", "quantity", "fibre_group_index"),
        ("llm_boards", "board", "A100-80GB"),
        ("llm_boards", "board", "A100-40GB"),
        ("llm_slice_scaling", "part", "fixed"),
        ("llm_slice_scaling", "part", "decode"),
        ("llm_slice_scaling", "part", "prefill"),
    ],
)
def test_a_table_that_replaces_another_must_have_the_rows_that_are_needed(
    tmp_path, name, column, value
):
    rest = load_table(name).filter(pl.col(column) != value)
    said = refused([*SHORT, own(tmp_path, name, rest)])
    assert said == f"tables.{name}: lacks a row of {column} {value!r}; one is needed"


def test_a_second_reference_processor_is_refused(tmp_path):
    mine = load_table("compute_ratios").with_columns(item=pl.lit("my server"))
    assert refused([*SHORT, own(tmp_path, "compute_ratios", mine, "merge")]) == (
        "tables.compute_ratios: has 2 rows of quantity 'reference_cpu_relative_speed'; one is "
        "needed"
    )


def test_prompts_cannot_be_timed_without_rows_of_the_reference_board(tmp_path):
    rest = load_table("llm_mlp_times").filter(pl.col("gpu") != "A100-80GB")
    replaced = own(tmp_path, "llm_mlp_times", rest)
    assert set_up(compose([*SHORT, replaced]), []).tables.user, "nothing here asks for them"
    said = refused(["application=code_generation", replaced])
    assert said.startswith("application: llm_mlp_times: lacks a row of gpu 'A100-80GB', a model of")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pl.lit("A100"), "column 'batch': 'A100' is not allowed"),
        (pl.lit("0"), "column 'batch': '0' is not allowed; give a whole number at least 1"),
    ],
)
def test_a_wrong_table_is_told_by_file_row_and_column(tmp_path, change, reason):
    path = tmp_path / "wrong.csv"
    load_table("gpu_latency").with_columns(batch=change).write_csv(path)
    with pytest.raises(InputError, match=r"wrong\.csv, row 2, ") as caught:
        run([*SHORT, f"tables.gpu_latency={path}"])
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
