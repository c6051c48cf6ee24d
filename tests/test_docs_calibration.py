"""The page on hardware of one's own: what it shows runs, in its order."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from pages import blocks, call, commands

from hardware_models.schemas import SCHEMAS
from lab.hardware_tools.calibration import Protocol
from lab.hardware_tools.importers import IMPORTERS

HERE = Path(__file__).parent
PAGE = (HERE.parent / "docs" / "how_to" / "calibration.md").read_text(encoding="utf-8")
SAMPLES = {
    "perf_analyzer.csv": "perf.csv",
    "vllm_bench.json": "result.json",
    "vllm_bench_detailed.json": "detailed.json",
    "otlp_lines.jsonl": "traces.jsonl",
    "mlperf_log_summary.txt": "mlperf_log_summary.txt",
}


@pytest.mark.slow
def test_the_commands_run_in_the_order_of_the_page(folder, monkeypatch):
    [code] = blocks(PAGE, "python")
    (folder / "my_pkg.py").write_text(code, encoding="utf-8")
    for sample, name in SAMPLES.items():
        shutil.copy(HERE / "lab" / "samples" / sample, folder / name)
    for command in commands(PAGE):
        brief = " horizon_s=60 figures=false" if command.startswith("compass-sim") else ""
        call(monkeypatch, command + brief)
    rows = pl.read_csv("rows.csv")
    assert rows["mps_procs"].to_list() == [1, 1, 1, 1, 2, 2]
    predicted = pl.read_parquet("predicted.parquet")
    assert predicted["batch"].to_list() == [3, 6]
    assert predicted["predicted"].is_not_null().all()
    assert (folder / "predicted.png").stat().st_size > 1000


def test_the_page_names_every_format_and_its_table():
    for name, importer in IMPORTERS.items():
        assert re.search(rf"^\| `{name}` \|.*`{importer.table}`", PAGE, re.M)
        assert f"| `{importer.table}` |" in PAGE
        assert importer.table in SCHEMAS


def test_the_repeats_that_the_page_asks_for_are_the_least():
    from lab.common.errors import InputError

    assert "Fewer than six repeats" in PAGE
    assert Protocol(repeats=6).repeats == 6
    with pytest.raises(InputError):
        Protocol(repeats=5)
