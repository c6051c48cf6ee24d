"""The page on applications names what the declarations have."""

import re
from pathlib import Path

import polars as pl
import pytest

from scenarios.applications.shipped import shipped_application, shipped_applications
from scenarios.derivation import DATA

DOCS = Path(__file__).parents[2] / "docs" / "concepts"
PAGE = (DOCS / "applications.md").read_text(encoding="utf-8")
FIGURES = (DOCS / "application_figures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", shipped_applications())
def test_the_page_names_operators_knobs_and_the_number_of_configurations(name: str) -> None:
    application = shipped_application(name)
    overview = re.search(rf"^\| `{name}` \|.*$", PAGE, re.M)
    section = re.search(rf"^## `{name}`\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    assert overview is not None, name
    assert section is not None, name
    cells = [cell.strip() for cell in overview[0].split("|")]
    assert cells[3:5] == [
        str(len(application.operators)),
        str(len(application.pipeline.configurations)),
    ]
    assert ("mean output" in cells[6]) == (application.latency_per == "output_length")
    named = set(re.findall(r"`([^`]*)`", section[1]))
    assert {operator.name for operator in application.operators} <= named
    assert {knob.name for knob in application.pipeline.knobs} <= named


def test_the_page_tells_the_errors_of_the_fits() -> None:
    errors = pl.read_csv(DATA / "code_generation" / "fit_errors.csv")
    told = {
        (int(models), float(median), float(largest))
        for models, median, largest in re.findall(
            r"^\| [^|]* \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", FIGURES, re.M
        )
    }
    assert told == {
        (
            row["models"],
            round(row["median_absolute_error"], 1),
            round(row["largest_absolute_error"], 1),
        )
        for row in errors.iter_rows(named=True)
    }
