"""Generated documents: an image, the true text of its fields, and how well it was read.

Everything is drawn from named streams, with the font that Pillow includes. So a document is the
same on every machine with the same version of Pillow, and nothing has to be downloaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np

from lab.serving.payloads import Payload, Payloads, as_json
from scenarios.random_streams import stream

WIDTH, HEIGHT = 320, 240
"""Pixels of an image."""
FIELDS = {"number": "Invoice", "date": "Date", "customer": "Customer", "total": "Total"}
"""The fields to read, with the words that stand before them."""
FIRST_NAMES = ("Ada", "Carl", "Dana", "Emil", "Flora", "Hugo", "Ines", "Jonas", "Maria", "Rosa")
LAST_NAMES = (
    "Berger",
    "Cooper",
    "Dupont",
    "Fischer",
    "Ibsen",
    "Keller",
    "Moreau",
    "Novak",
    "Silva",
)
ARTICLES = ("Paper", "Cable", "Lamp", "Folder", "Battery", "Pen", "Chair", "Screen", "Adapter")
MOST_ITEMS = 4
MEAN_LINES = len(FIELDS) + MOST_ITEMS / 2
FONT_PIXELS = (12, 19)
"""Lowest and highest size of the font; small print is what a low resolution cannot read."""


@dataclass(frozen=True)
class Document:
    """A document.

    Args:
        fields: the true text of each field of `FIELDS`.
        lines: the text of each line, from top to bottom.
        font_pixels: size of the font.
        ink: grey value of the text, from 0 (black) to 255.
        noise: standard deviation of the noise of each pixel, in grey values.
        tilt_degrees: rotation of the page.
    """

    fields: Mapping[str, str]
    lines: tuple[str, ...]
    font_pixels: int
    ink: int
    noise: float
    tilt_degrees: float


def document(seed: int, number: int) -> Document:
    """Return the document of a number, from 0."""
    rng = stream(seed, "serving", "document", number)

    def one_of(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    fields = {
        "number": f"INV-{rng.integers(10_000, 100_000)}",
        "date": f"{rng.integers(2015, 2026)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
        "customer": f"{one_of(FIRST_NAMES)} {one_of(LAST_NAMES)}",
        "total": f"{rng.integers(10, 2000)}.{rng.integers(100):02}",
    }
    items = [
        f"{rng.integers(1, 20)} x {one_of(ARTICLES)} {rng.integers(1, 100)}.{rng.integers(100):02}"
        for _ in range(int(rng.integers(MOST_ITEMS + 1)))
    ]
    labelled = [f"{FIELDS[name]}: {text}" for name, text in fields.items()]
    return Document(
        fields,
        (*labelled[:-1], *items, labelled[-1]),
        font_pixels=int(rng.integers(FONT_PIXELS[0], FONT_PIXELS[1] + 1)),
        ink=int(rng.integers(0, 110)),
        noise=float(rng.uniform(0, 22)),
        tilt_degrees=float(rng.uniform(-1.5, 1.5)),
    )


def image(seed: int, number: int) -> bytes:
    """Return the picture of a document, a grey PNG of `WIDTH` by `HEIGHT` pixels."""
    from PIL import Image, ImageDraw

    page = document(seed, number)
    picture = Image.new("L", (WIDTH, HEIGHT), 245)
    drawing = ImageDraw.Draw(picture)
    gap = (HEIGHT - 20) // (len(FIELDS) + MOST_ITEMS)
    for at, line in enumerate(page.lines):
        drawing.text((14, 10 + at * gap), line, fill=page.ink, font=_font(page.font_pixels))
    turned = picture.rotate(page.tilt_degrees, Image.Resampling.BILINEAR, fillcolor=245)
    noise = stream(seed, "serving", "document", number, "noise").normal(size=(HEIGHT, WIDTH))
    pixels = np.clip(np.asarray(turned) + page.noise * noise, 0, 255).astype(np.uint8)
    written = BytesIO()
    Image.fromarray(pixels).save(written, "PNG", compress_level=1)
    return written.getvalue()


@cache
def _font(pixels: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(pixels)


def field_matches(true: Mapping[str, str], read: Mapping[str, str]) -> float:
    """Return the share of fields that were read without any error."""
    return sum(read.get(name) == text for name, text in true.items()) / len(true)


def character_error_rate(true: Mapping[str, str], read: Mapping[str, str]) -> float:
    """Return the edit distance of all fields, divided by their number of characters.

    It is the sum of the Levenshtein distances of the fields, and can exceed 1.
    """
    errors = sum(edit_distance(text, read.get(name, "")) for name, text in true.items())
    return errors / sum(map(len, true.values()))


def edit_distance(one: str, other: str) -> int:
    """Return how many insertions, deletions and replacements turn a text into another."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, against in enumerate(other, start=1):
            replaced = before[column - 1] + (letter != against)
            current.append(min(replaced, before[column] + 1, current[-1] + 1))
        before = current
    return before[-1]


class Documents(Payloads):
    """Generated documents; the size of a request is its number of lines relative to the mean."""

    def payload(self, seed: int, number: int) -> Payload:
        """Return the image of a document."""
        size = len(document(seed, number).lines) / MEAN_LINES
        return Payload(image(seed, number), size, "image/png")

    def score(self, seed: int, number: int, answer: bytes) -> Mapping[str, float]:
        """Return the share of fields that match exactly, and the character error rate."""
        true, told = document(seed, number).fields, as_json(answer)
        texts = {name: str(text) for name, text in told.items()} if isinstance(told, dict) else {}
        return {
            "accuracy": field_matches(true, texts),
            "character_error_rate": character_error_rate(true, texts),
        }
