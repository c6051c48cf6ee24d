"""Facts: what fails is told in one sentence, and what was done before is kept."""

import os

import pytest

from lab.common.errors import InputError
from studies.facts import compute, pages, record, typed
from studies.facts.sources import SOURCES, Source, printed

GOOD = Source(("python -c 'print(4.25)'",), (), {"good": printed("s", 1, r"([\d.]+)")})
FAILS = Source(("python -c 'raise SystemExit(\"no such planner\")'",), (), {})
LACKS = Source(("python -c 'print()'",), (), {"lacking": printed("s", 1, r"([\d.]+)")})


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FILE", tmp_path / "facts.json")
    for name, source in {"good": GOOD, "fails": FAILS, "lacks": LACKS}.items():
        monkeypatch.setitem(SOURCES, name, source)
    assert compute.guarded(compute.compute, "good")
    return tmp_path / "facts.json"


def test_a_fact_is_rounded_and_kept_until_its_key_changes(monkeypatch):
    assert pages.f.good == 4.2
    assert record.stale({"good": GOOD}) == []
    assert record.stale({"good": Source(GOOD.commands, ("Compass",), GOOD.facts)}) == ["good"]


@pytest.mark.parametrize(("name", "said"), [("fails", "no such planner"), ("lacks", "no ")])
def test_a_source_that_fails_is_told_in_one_sentence_and_others_stay(name, said, capsys):
    assert not compute.guarded(compute.compute, name)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"facts of {name}: " in told
    assert said in told
    assert [*record.read()] == ["good"]


def test_a_full_disk_leaves_what_was_kept(kept, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    before = kept.read_bytes()
    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert not compute.guarded(compute.compute, "good")
    assert "No space left" in capsys.readouterr().err
    assert kept.read_bytes() == before


def test_an_unknown_fact_is_told_with_the_nearest_name():
    with pytest.raises(InputError, match=r"godo: .*did you mean 'good'"):
        _ = pages.f.godo


def test_a_false_claim_names_its_sentence():
    assert pages.text("It is  so.", True) == "It is so."
    with pytest.raises(InputError, match=r"claim 2 is false of 'It is so.'"):
        pages.text("It is so.", True, False)


def test_a_changed_fact_is_told_with_both_values(kept):
    before = record.read()
    record.keep("good", record.Kept(GOOD.key(), {"good": 5.0}))
    assert [*compute.changes(before)] == ["good: 4.2 -> 5.0 s"]


def test_a_name_denotes_one_fact():
    names = [fact for source in SOURCES.values() for fact in (*source.facts, *source.prints)]
    assert len(names) == len({*names})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 3.5 s, or 20 to 30 s.", ["3.5 s", "20 to 30 s"]),
        ("It costs $1.20 and meets 40 % of them.", ["$1.20", "40 %"]),
        ("With `horizon_s=20 s` and 4G, see figure 3.", []),
        ("<!-- [[[cog\nsay()\n]]] -->\n5 s\n<!-- [[[end]]] -->", []),
        ("```text\n5 s\n```", []),
    ],
)
def test_numbers_with_units_are_found_in_prose(text, found):
    assert typed.TYPED.findall(typed.NOT_PROSE.sub("", text)) == found


def test_what_is_given_is_on_its_page():
    assert not [*typed.numbers()]
    assert not [*typed.superfluous()]
