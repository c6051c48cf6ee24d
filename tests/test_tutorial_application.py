"""The tutorial that adds an application: its files are the example's, and the example runs."""

import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pages import blocks, call, commands

from scenarios.declaration import DeclaredApplication

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLE = DOCS / "examples" / "document_reading"
PAGE = (DOCS / "how_to" / "adding_an_application.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    monkeypatch.chdir(EXAMPLE)


def declaration():
    node = OmegaConf.to_container(OmegaConf.load("application/document_reading.yaml"))
    del node["_target_"]
    return node


def test_the_page_shows_the_files_of_the_example():
    file = Path("application/document_reading.yaml").read_text(encoding="utf-8")
    assert "".join(blocks(PAGE, "yaml")) == file
    shown = re.findall(r"^`(tables/\w+\.csv)`\n```csv\n(.*?)^```$", PAGE, re.S | re.M)
    assert sorted(name for name, _ in shown) == sorted(map(str, Path().glob("tables/*")))
    for name, text in shown:
        assert text == Path(name).read_text(encoding="utf-8")


def test_the_example_builds_and_its_tiers_can_be_met():
    application = DeclaredApplication(**declaration())
    assert len(application.pipeline.configurations) == 12
    letters = application.datasets["letters"]
    best_s = letters.service_time_s[0].sum()
    assert f"{best_s:.1f} s if it is alone on an A100" in PAGE
    for tier in application.tiers.values():
        assert best_s < tier.latency_s
    receipts = application.datasets["receipts"]
    assert receipts.stratum_weights.tolist() == [0.75, 0.25]
    assert receipts.accuracy[0].tolist() == pytest.approx([0.97 * 0.95, 0.97 * 0.95 * 0.8])


@pytest.mark.parametrize("command", commands(PAGE))
def test_commands_run(command, monkeypatch, tmp_path):
    call(monkeypatch, f"{command} figures=false hydra.run.dir={tmp_path / 'run'}")
    assert (tmp_path / "run" / "config.yaml").is_file()
    if command == commands(PAGE)[0]:
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert summary["service_goodput_mean"] > 0.5 * summary["active_queries_mean"]


def test_the_mistake_on_the_page_is_told_as_the_page_says():
    node = declaration()
    node["operators"]["prepare"]["service_time_s"] = "pages.prepare"
    with pytest.raises(ValueError, match="has no column") as caught:
        DeclaredApplication(**node)
    assert f"```\n{caught.value}\n```" in PAGE


def test_every_key_of_an_operator_is_explained():
    explained = " ".join(re.findall(r"^\|([^|]*)\|", PAGE, re.M))
    for operator in declaration()["operators"].values():
        for key, value in operator.items():
            names = value if key in ("network", "language_model") else [key]
            for name in names:
                assert name in ("kind", "knobs") or name in explained, name


@pytest.mark.slow
def test_the_example_that_forks_is_as_the_page_shows_it_and_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(DOCS / "examples" / "spoken_question")
    file = Path("application/spoken_question.yaml").read_text(encoding="utf-8").splitlines()
    *_, shown = blocks(PAGE, "text")
    assert set(shown.splitlines()) - {"    ..."} <= set(file)
    words = "compass-sim --config-dir . application=spoken_question horizon_s=120 figures=false"
    call(monkeypatch, f"{words} hydra.run.dir={tmp_path / 'run'}")
