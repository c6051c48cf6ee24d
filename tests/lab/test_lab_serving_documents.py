"""Generated documents, how well they were read, and the rules that extract their fields."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lab.serving.documents import (
    HEIGHT,
    WIDTH,
    Documents,
    document,
    edit_distance,
    image,
)
from lab.serving.ocr import Extract, Text, rows


def test_a_document_depends_on_seed_and_number_alone():
    assert image(3, 7) == image(3, 7)
    assert document(3, 7) != document(3, 8) != document(4, 8)


def test_the_image_shows_the_lines_as_dark_rows():
    page = document(1, 0)
    pixels = np.asarray(Image.open(BytesIO(image(1, 0))), float)
    assert pixels.shape == (HEIGHT, WIDTH)
    inked = (pixels < 150).sum(axis=1) > 5
    below = inked[10 + 27 * len(page.lines) :]
    assert inked[: 27 * len(page.lines)].any()
    assert not below.any()


def test_a_page_has_the_true_fields():
    for number in range(20):
        page = document(0, number)
        assert all(any(text in line for line in page.lines) for text in page.fields.values())


def answer(**changes):
    return json.dumps({**document(0, 0).fields, **changes}).encode()


def test_the_score_counts_whole_fields_and_characters():
    texts = document(0, 0).fields
    characters = sum(map(len, texts.values()))
    score = Documents().score(0, 0, answer())
    assert score == {"accuracy": 1.0, "character_error_rate": 0.0}
    wrong = texts["total"][:-1]
    score = Documents().score(0, 0, answer(total=wrong))
    assert score == {"accuracy": 0.75, "character_error_rate": 1 / characters}


@pytest.mark.parametrize("body", [b"no JSON", b"[1]", b"{}", b"\xff"])
def test_an_answer_without_fields_is_all_wrong(body):
    score = Documents().score(0, 0, body)
    assert score == {"accuracy": 0.0, "character_error_rate": 1.0}


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)],
)
def test_edit_distance_is_levenshteins(one, other, distance):
    assert edit_distance(one, other) == distance
    assert edit_distance(other, one) == distance


def test_texts_at_one_height_are_a_row_from_left_to_right():
    page = [Text("12.50", 90, 101, 14), Text("Total:", 10, 99, 14), Text("Date: x", 10, 60, 14)]
    assert rows(page) == ["Date: x", "Total: 12.50"]


def test_fields_are_found_by_labels_with_errors():
    read = "lnvoice: INV-12|Date; 2020-01-02|3 x Lamp 4.00|Custmer Ada Ibsen|Tota1:9.50"
    page = [Text(line, 10, 27.0 * at, 15) for at, line in enumerate(read.split("|"))]
    assert Extract(0.7).fields(page) == {
        "number": "INV-12",
        "date": "2020-01-02",
        "customer": "Ada Ibsen",
        "total": "9.50",
    }
    assert Extract(1.0).fields(page) == {"date": "2020-01-02"}


def test_the_size_is_the_number_of_lines_relative_to_the_mean():
    sizes = [Documents().payload(0, number).size for number in range(30)]
    assert sizes[0] == len(document(0, 0).lines) / 6
    assert np.mean(sizes) == pytest.approx(1, abs=0.15)
