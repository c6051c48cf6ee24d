"""``compass-lab validate``, ``fit``, ``tables`` and the validation page."""

import re
from errno import ENOSPC
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from hardware_models import predictors
from hardware_models.fits import registry as fitting
from hardware_models.gpu import mps
from hardware_models.predictors import Predictor
from hardware_models.schemas import SCHEMAS
from hardware_models.tables import load_table
from lab.cli.tools import main
from lab.common.errors import InputError
from lab.hardware_tools.unpredicted import reason
from lab.hardware_tools.validation import validate_rows
from lab.hardware_tools.validation_page import AccuracyGoal

SHIPPED = predictors.PREDICTORS
FACTORS = {1: 1.0, 2: 1.1, 4: 0.8}  # predicted over measured, by batch; others are refused


def _predict(rows):
    factor = rows["batch"].replace_strict(FACTORS, default=None, return_dtype=pl.Float64)
    return (10.0 * rows["batch"] * factor).fill_null(np.nan).to_numpy()


LATENCY = Predictor("gpu_latency", "batch_latency_ms", ("model",), _predict)


def _half(column):
    return lambda rows: (rows["batch"] * column).cast(pl.Float64).to_numpy()


TTFT = Predictor("llm_iteration", "ttft_ms", ("model",), _half(1))
TPOT = Predictor("llm_iteration", "tpot_ms", ("model", "gpu"), _half(2))


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(predictors, "PREDICTORS", (LATENCY, TTFT, TPOT))


def latency_rows(**columns):
    batches = [1, 2, 4, 8]
    return pl.DataFrame(
        {
            "model": ["mine", "mine", "other", "other"],
            "gpu": "A100-80GB",
            "mig_gpcs": 7,
            "batch": batches,
            "mps_procs": 1,
            "batch_latency_ms": [10.0 * batch for batch in batches],
            **columns,
        }
    )


def written(frame, path):
    frame.write_csv(path)
    return path


def test_errors_are_those_of_the_definition(tmp_path):
    done = validate_rows(written(latency_rows(), tmp_path / "rows.csv"), (LATENCY,))
    assert done.table == "gpu_latency"
    assert done.rows["ape_pct"].to_list() == pytest.approx([0.0, 10.0, 20.0, None])
    mine, other = done.groups.rows(named=True)
    assert (mine["group"], mine["n"], mine["refused"]) == ("mine", 2, 0)
    assert (mine["median_pct"], mine["p90_pct"]) == (pytest.approx(5.0), pytest.approx(9.0))
    assert (other["n"], other["refused"], other["worst_pct"]) == (1, 1, pytest.approx(20.0))
    assert other["worst_cell"] == "model=other, gpu=A100-80GB, mig_gpcs=7, batch=4, mps_procs=1"
    overall = done.overall.row(0, named=True)
    assert (overall["group"], overall["n"], overall["refused"]) == ("all", 3, 1)
    assert overall["median_pct"] == pytest.approx(10.0)
    assert done.worst(2)["batch"].to_list() == [4, 2]
    assert done.refused["batch"].to_list() == [8]


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ([], 0),
        (["--threshold-median", "10.1"], 0),
        (["--threshold-median", "9.9"], 1),
        (["--threshold-p90", "18.1"], 0),
        (["--threshold-median", "50", "--threshold-p90", "17.9"], 1),
    ],
)
def test_the_exit_status_tells_whether_thresholds_are_kept(tmp_path, capsys, limits, status):
    rows = written(latency_rows(), tmp_path / "rows.csv")
    assert main(["validate", str(rows), *limits]) == status
    out = capsys.readouterr().out
    assert "rows that the models cannot predict (1):" in out
    assert "batch=8" in out
    assert ("beyond the thresholds" in out) == (status == 1)


def test_a_file_of_which_nothing_is_predicted_is_within_no_threshold(tmp_path, capsys):
    rows = written(latency_rows().filter(pl.col("batch") == 8), tmp_path / "rows.csv")
    assert main(["validate", str(rows)]) == 0
    assert main(["validate", str(rows), "--threshold-median", "99"]) == 1
    capsys.readouterr()


def test_rows_go_to_parquet_with_what_else_the_file_holds(tmp_path, capsys):
    rows = latency_rows(remark=["a", "b", "c", "d"], note="measured at home")
    file, out = written(rows, tmp_path / "rows.csv"), tmp_path / "out" / "predicted.parquet"
    assert main(["validate", str(file), "--parquet", str(out)]) == 0
    frame = pl.read_parquet(out)
    assert frame["remark"].to_list() == ["a", "b", "c", "d"]
    assert set(frame.columns) == {
        *rows.columns, "target", "group", "measured", "predicted", "ape_pct"
    }  # fmt: skip
    assert frame["predicted"].to_list() == [10.0, 22.0, 32.0, None]
    assert frame["batch"].dtype == pl.Int64
    assert "all predictions" in capsys.readouterr().out
    # A Parquet file of typed columns is as good as text.
    again = validate_rows(out, (LATENCY,))
    assert again.rows["ape_pct"].to_list() == frame["ape_pct"].to_list()


@pytest.mark.slow
def test_a_figure_is_drawn_for_every_target(tmp_path, capsys, refused):
    rows = llm_rows()
    file, out = written(rows, tmp_path / "rows.csv"), tmp_path / "figures" / "rows.png"
    assert "--figure=rows.svg: must end in .png" in refused(
        "validate", file, "--figure", "rows.svg"
    )
    assert main(["validate", str(file), "--figure", str(out)]) == 0
    first = out.read_bytes()
    assert first.startswith(b"\x89PNG")
    assert main(["validate", str(file), "--figure", str(out)]) == 0
    assert out.read_bytes() == first
    nothing = written(latency_rows().filter(pl.col("batch") == 8), tmp_path / "refused.csv")
    assert main(["validate", str(nothing), "--figure", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()


def test_a_figure_or_table_that_cannot_be_finished_leaves_the_earlier_one(
    tmp_path, monkeypatch, capsys
):
    file = written(llm_rows(), tmp_path / "rows.csv")
    png, parquet = tmp_path / "rows.png", tmp_path / "rows.parquet"
    command = ["validate", str(file), "--figure", str(png), "--parquet", str(parquet)]
    assert main(command) == 0
    before = png.read_bytes(), parquet.read_bytes()

    def half(self, path, **_):
        path.write_bytes(b"half of it")
        raise OSError(ENOSPC, "No space left on device")

    for owner, name, spoiled in (
        (Figure, "savefig", png),
        (pl.DataFrame, "write_parquet", parquet),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, half)
            capsys.readouterr()
            assert main(command) != 0
        assert capsys.readouterr().err.count("\n") == 1
        assert (png.read_bytes(), parquet.read_bytes()) == before, spoiled
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("rows.csv", "rows.parquet", "rows.png")
    ]


def llm_rows(**columns):
    batches = [1, 2]
    return pl.DataFrame(
        {
            "model": "llama2-70b",
            "gpu": "h100-80gb",
            "tensor_parallel": 8,
            "prompt_tokens": 512,
            "batch": batches,
            "output_tokens": 128,
            "ttft_ms": [1.0, 4.0],
            "tpot_ms": [2.0, 4.0],
            **columns,
        }
    )


def test_a_table_with_two_targets_is_compared_in_both(tmp_path):
    done = validate_rows(written(llm_rows(), tmp_path / "rows.csv"), (LATENCY, TTFT, TPOT))
    assert done.overall["target"].to_list() == ["ttft_ms", "tpot_ms"]
    assert done.overall["median_pct"].to_list() == pytest.approx([25.0, 0.0])
    assert done.groups["group"].to_list() == ["llama2-70b", "llama2-70b, h100-80gb"]
    one = validate_rows(
        written(llm_rows().drop("ttft_ms"), tmp_path / "one.csv"), (LATENCY, TTFT, TPOT)
    )
    assert one.overall["target"].to_list() == ["tpot_ms"]


def test_repeated_measurements_of_a_point_all_count(tmp_path):
    rows = pl.concat([latency_rows(), latency_rows()])
    assert validate_rows(written(rows, tmp_path / "rows.csv"), (LATENCY,)).overall["n"][0] == 6


def test_rows_of_the_shipped_table_are_told_apart(tmp_path, capsys):
    rows = load_table("gpu_latency").head(3)
    file = written(rows.select(latency_rows().columns), tmp_path / "rows.csv")
    assert validate_rows(file, (LATENCY,)).known == 3
    assert main(["validate", str(file)]) == 0
    assert "3 of the values are also in the tables in use" in capsys.readouterr().out


def test_predictions_follow_tables_of_the_user(tmp_path, monkeypatch, refused):
    def lookup(rows):
        table = load_table("gpu_latency").rename({"batch_latency_ms": "known"})
        key = list(SCHEMAS["gpu_latency"].key)
        return rows.join(table, on=key, how="left", maintain_order="left")["known"].to_numpy()

    looked_up = Predictor("gpu_latency", "batch_latency_ms", ("model",), lookup)
    monkeypatch.setattr(predictors, "PREDICTORS", (looked_up,))
    file = str(written(latency_rows(), tmp_path / "rows.csv"))
    bound = ["--threshold-median", "0"]
    assert main(["validate", file, *bound]) == 1
    assert main(["validate", file, *bound, "--merge", f"gpu_latency={file}"]) == 0
    assert "must have the form TABLE=FILE" in refused("validate", file, "--merge", file)
    both = [word for name in ("a", "b") for word in ("--merge", f"gpu_latency={name}.csv")]
    said = "--merge=gpu_latency=b.csv: gpu_latency has the value a.csv already"
    assert said in refused("validate", file, *both)


def test_rows_outside_of_a_table_are_counted_and_the_first_is_named(tmp_path, capsys):
    rows = latency_rows(mig_gpcs=[7, 9, 7, 10])
    file = written(rows, tmp_path / "rows.csv")
    done = validate_rows(file, (LATENCY,))
    assert (done.invalid, done.overall["n"][0]) == (2, 2)
    assert main(["validate", str(file)]) == 0
    assert "rows not valid in table gpu_latency: 2; first: " in capsys.readouterr().out
    assert "row 3, column 'mig_gpcs': '9' is not allowed" in done.first_invalid


def test_rows_that_no_prediction_speaks_of_are_counted(tmp_path):
    some = Predictor(
        "gpu_latency", "batch_latency_ms", (), _predict, rows=lambda rows: rows["batch"] < 4
    )
    file = written(latency_rows(), tmp_path / "rows.csv")
    done = validate_rows(file, (some,))
    assert (done.unpredicted, done.overall["n"][0]) == (2, 2)
    none = Predictor("gpu_latency", "batch_latency_ms", (), _predict, rows=lambda r: r["batch"] < 0)
    with pytest.raises(InputError, match="none of its rows can be predicted for table gpu_latency"):
        validate_rows(file, (none,))


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (
            latency_rows().rename({"mps_procs": "mps_proc"}),
            [],
            r"its columns fit no table; for table gpu_latency, it lacks 'mps_procs' \(it has "
            r"'mps_proc'\)",
        ),
        (latency_rows(), ["--table", "gpu_latncy"], r"--table=gpu_latncy: .*did you mean 'gpu_lat"),
        (
            latency_rows(),
            ["--table", "llm_iteration"],
            r"csv: for table llm_iteration, it la",
        ),
        (latency_rows(batch_latency_ms="fast"), [], r"row 2, column 'batch_latency_ms': 'fast'"),
        (latency_rows(batch="many"), [], r"row 2, column 'batch': 'many' is not allowed"),
        (latency_rows(), ["--worst", "-1"], r"--worst=-1: must be >= 0"),
        (latency_rows(), ["--threshold-p90", "-0.5"], r"--threshold-p90=-0.5: must be >= 0"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path, refused, rows, arguments, message):
    file = written(rows, tmp_path / "rows.csv")
    err = refused("validate", file, *arguments)
    assert re.search(message, err)


def test_a_file_that_fits_two_tables_needs_a_choice(tmp_path):
    layouts = Predictor("mig_layouts_a100", "n_instances", (), lambda rows: np.ones(rows.height))
    known = (LATENCY, layouts)
    # Six columns of one table, and six of the other besides provenance.
    both = pl.concat([load_table("mig_layouts_a100").head(4), latency_rows()], how="horizontal")
    file = written(both, tmp_path / "both.csv")
    with pytest.raises(InputError, match="fit tables gpu_latency, mig_layouts_a100;"):
        validate_rows(file, known)
    assert validate_rows(file, known, "mig_layouts_a100").table == "mig_layouts_a100"
    fewer = written(both.drop("layout"), tmp_path / "fewer.csv")
    assert validate_rows(fewer, known).table == "gpu_latency"


# The shipped predictions, tables and fits


@pytest.mark.parametrize("table", sorted({one.table for one in SHIPPED}))
def test_every_table_with_a_prediction_is_found_by_its_columns(tmp_path, table):
    file = written(load_table(table), tmp_path / "rows.csv")
    done = validate_rows(file, SHIPPED)
    assert done.table == table
    assert set(done.overall["target"]) == {one.target for one in SHIPPED if one.table == table}
    assert done.overall["n"].min() > 0
    assert done.known > 0
    assert done.invalid == 0


@pytest.mark.parametrize("table", SCHEMAS)
def test_validate_reads_a_shipped_table_or_says_why_there_is_nothing_to_predict(table, refused):
    file = Path(str(files("hardware_models"))) / "data" / f"{table}.csv"
    predicted = table in {one.table for one in SHIPPED}
    assert predicted == (reason(table) is None), "either a prediction or a reason"
    if predicted:
        assert validate_rows(file, SHIPPED).table == table
        return
    assert f"nothing predicts table {table}; {reason(table)}" in refused("validate", file)
    assert f"--table={table}: nothing predicts it; {reason(table)}" in refused(
        "validate", file, "--table", table
    )


def test_busy_neighbours_on_a_slice_are_the_median_of_the_measured_ones():
    rows = load_table("mig_mlperf_ratios")
    busy = rows.filter(pl.col("metric") == "offline_throughput_busy_neighbours_over_alone")
    [one] = [each for each in SHIPPED if each.part == "busy neighbours"]
    assert one.predict(busy) == pytest.approx(np.full(busy.height, busy["value"].median()))


def test_pairs_of_models_were_never_fitted_and_are_predicted_within_a_fifth():
    [one] = [each for each in SHIPPED if each.part == "pairs of models"]
    table = one.cross_validated()
    assert table.height >= 100
    error = (table["predicted"] / table["value"] - 1).abs()
    assert error.median() == pytest.approx(0.09, abs=0.01)
    assert error.max() < 0.21
    [row] = table.filter(model="vgg16 beside resnet50", gpu="3080").to_dicts()
    slope = load_table("fit_mps").filter(group="interference")["value"].item()
    utilisation = mps.memory_utilisation("resnet50", 16)
    assert row["predicted"] == pytest.approx(1 + slope * utilisation)


def test_a_table_can_be_listed_shown_and_written(tmp_path, capsys, refused):
    assert main(["tables"]) == 0
    out = capsys.readouterr().out
    for name in SCHEMAS:
        assert re.search(rf"\b{name}\b", out)
    assert main(["tables", "model_sizes"]) == 0
    shown = capsys.readouterr().out
    assert main(["tables", "model_sizes", "--csv", str(tmp_path / "copy.csv")]) == 0
    assert (tmp_path / "copy.csv").read_text(encoding="utf-8") == shown
    assert pl.read_csv(tmp_path / "copy.csv").columns == load_table("model_sizes").columns
    assert "did you mean 'model_sizes'" in refused("tables", "model_size")


def test_fit_writes_what_a_fit_gives_and_prints_its_errors(tmp_path, monkeypatch, capsys, refused):
    coefficients = pl.DataFrame({"group": ["a"], "coefficient": ["b"], "value": [1.5]})
    errors = pl.DataFrame(
        {"group": ["a"], "scheme": ["random 5-fold"], "n": [7], "median_pct": [1.25],
         "p90_pct": [2.0], "worst_pct": [3.0], "worst_cell": ["batch=1"]}
    )  # fmt: skip
    made = fitting.Fit(coefficients, errors)
    monkeypatch.setattr(fitting, "FITS", {"mps": lambda: made})
    assert main(["fit", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"a .*random 5-fold .*7 .*1\.2 .*2\.0 .*3\.0 .*batch=1", out)
    assert pl.read_csv(tmp_path / "fit_mps.csv")["value"].to_list() == [1.5]
    assert "did you mean 'mps'" in refused("fit", "mpss", "--out", tmp_path)


def test_a_goal_is_met_or_missed_in_its_own_scheme_alone():
    goal = AccuracyGoal("random 5-fold", 3, 10)
    row = {"scheme": "random 5-fold", "median_pct": 2.9, "p90_pct": 10.0}
    assert goal.verdict(row) == "met"
    assert goal.verdict(row | {"p90_pct": 10.1}) == "missed: p90 over 10 %"
    assert goal.verdict(row | {"median_pct": 3.1, "p90_pct": 11}).count("over") == 2
    assert goal.verdict(row | {"scheme": "leave one curve out"}) == ""


DOCS = Path(__file__).parents[2] / "docs" / "evidence"


def test_the_validation_page_is_that_of_the_shipped_files(monkeypatch):
    from lab.hardware_tools import validation_page

    monkeypatch.setattr(validation_page, "PREDICTORS", SHIPPED)
    assert validation_page.page() == (DOCS / "validation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", fitting.FITS)
def test_every_scheme_of_a_fit_is_explained_and_its_goal_is_judged(name):
    from lab.hardware_tools.validation_page import GOALS, SCHEMES

    schemes = set(load_table(f"fit_{name}_errors")["scheme"])
    assert schemes <= SCHEMES.keys()
    assert name not in GOALS or GOALS[name].scheme in schemes


def test_figures_of_the_validation_page_are_drawn_on_request(tmp_path, monkeypatch, capsys):
    from lab.hardware_tools import validation_page

    def unseen():
        return latency_rows().with_columns(predicted=pl.col("batch") * 11.0)

    own = Predictor("gpu_latency", "batch_latency_ms", ("model",), _predict, None, unseen)
    monkeypatch.setattr(validation_page, "PREDICTORS", (own, LATENCY))
    monkeypatch.setattr(validation_page, "link_rows", lambda: iter(()))  # takes seconds
    out = tmp_path / "docs" / "page.md"
    assert main(["validation-page", "--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["page.md"]
    assert main(["validation-page", "--out", str(out), "--figures"]) == 0
    [link] = re.findall(r"\]\((figures/[^)]+)\)", out.read_text(encoding="utf-8"))
    assert (out.parent / link).read_bytes().startswith(b"\x89PNG")
    assert str(out) in capsys.readouterr().out


def test_the_figures_of_the_validation_page_are_there():
    text = (DOCS / "validation.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (DOCS / name).is_file(), name
