"""Operators that read documents with the PP-OCR models that the wheel of rapidocr includes.

ONNX Runtime executes the models on one thread. Preparation of images and decoding follow rapidocr;
we call the models ourselves so that a batch of requests is one batch of the model, which rapidocr
does not offer. Documents are read in grey, to keep small what is sent between operators.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lab.serving.documents import FIELDS
from lab.serving.pipeline import Operator

DETECTOR = "*_det_*.onnx"
RECOGNISER = "*_rec_*.onnx"
STRIDE = 32
"""The sides of the detector's input are multiples of this."""
LINE_HEIGHT = 48
"""Pixels of the height of a line that the recogniser takes."""
LINES_PER_RUN = 6
"""Most lines that the recogniser gets at once; lines are padded to the widest (as in rapidocr)."""
RECOGNISERS = ("full", "int8")
DEVICES: Mapping[str, Sequence[str]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""ONNX Runtime's providers by the name of a device; cuda needs the package onnxruntime-gpu."""


@dataclass(frozen=True)
class Lines:
    """The lines of a page as they were found.

    Args:
        corners: pixels (x, y) of the corners of each line, shape (n, 4, 2), from the upper left.
        crops: the grey image of each line.
    """

    corners: Any
    crops: Sequence[Any]


@dataclass(frozen=True)
class Text:
    """A text on a page: its left end, its middle from the top, and its height, in pixels."""

    text: str
    left: float
    middle: float
    height: float


class Model:
    """One of the models of the wheel, executed on one thread."""

    def __init__(self, pattern: str, device: str, quantised: bool = False) -> None:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        found = sorted(models.glob(pattern))
        if not found:
            raise ValueError(f"rapidocr includes no model {pattern}; install rapidocr>=3.9")
        path = found[0]
        if quantised:
            with TemporaryDirectory() as place:
                self._open(_quantised(path, Path(place)), device)
        else:
            self._open(path, device)

    def _open(self, path: Path, device: str) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = InferenceSession(str(path), options, providers=list(DEVICES[device]))
        self._input = self._session.get_inputs()[0].name

    def __call__(self, values: Any) -> Any:
        """Return the first output for values of shape (n, 3, height, width), in [-1, 1]."""
        return self._session.run(None, {self._input: values})[0]

    def characters(self) -> list[str]:
        """Return the character of each class of a recogniser; the first one is the blank."""
        listed = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        return ["", *listed, " "]


def _quantised(path: Path, place: Path) -> Path:
    """Write a copy of a model whose matrix products are of 8 bits; return its path."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay as they are: ONNX Runtime's dynamic ones of 8 bits are slower on CPUs.
    copy, kinds = place / path.name, ["MatMul", "Gemm"]
    quantize_dynamic(str(path), str(copy), op_types_to_quantize=kinds, weight_type=QuantType.QInt8)
    return copy


def _as_input(grey: Any) -> Any:
    """Return grey images of shape (n, height, width) as the models' input, shape (n, 3, ...)."""
    scaled = np.asarray(grey, np.float32) / 127.5 - 1
    return np.repeat(scaled[:, None], 3, axis=1)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: must be from {low:g} to {high:g}")


def _check_device(device: str) -> None:
    if device not in DEVICES:
        raise ValueError(f"device={device}: choose one of {', '.join(DEVICES)}")


@dataclass
class Detect(Operator):
    """Finds the lines of text in images; takes bytes of PNG or JPEG, and returns `Lines`.

    Args:
        image_scale: resolution at which the image is used, relative to the one sent.
        input_side: pixels of the longer side of what the model sees.
        device: cpu or cuda.
    """

    image_scale: float = 1.0
    input_side: int = 320
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check("image_scale", self.image_scale, 0.1, 4)
        _check("input_side", self.input_side, STRIDE, 4096)
        _check_device(self.device)

    def setup(self) -> None:
        """Load the detector, and execute it once."""
        import cv2
        from rapidocr.ch_ppocr_det import TextDetector
        from rapidocr.ch_ppocr_det.utils import DBPostProcess
        from rapidocr.utils.process_img import get_rotate_crop_image

        cv2.setNumThreads(1)
        self._cv2, self._crop, self._sorted = cv2, get_rotate_crop_image, TextDetector.sorted_boxes
        # The thresholds of rapidocr's config.yaml.
        self._boxes = DBPostProcess(0.3, 0.5, 1000, 1.6, "fast", True)
        self._model = Model(DETECTOR, self.device)
        self._model(_as_input(np.full((1, self.input_side // STRIDE * STRIDE, STRIDE), 255)))

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Return the lines of each image."""
        images = [self._decoded(body) for body in batch]
        resized = [self._resized(image) for image in images]
        found: dict[int, Lines] = {}
        for shape in dict.fromkeys(one.shape for one in resized):  # Equal shapes are one batch.
            places = [at for at, one in enumerate(resized) if one.shape == shape]
            maps = self._model(_as_input(np.stack([resized[at] for at in places])))
            for at, probable in zip(places, maps, strict=True):
                found[at] = self._lines(images[at], probable[None])
        return [found[at] for at in range(len(batch))]

    def _decoded(self, body: bytes) -> Any:
        image = self._cv2.imdecode(np.frombuffer(body, np.uint8), self._cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError("the body is no image")
        if self.image_scale == 1:
            return image
        area, scale = self._cv2.INTER_AREA, self.image_scale
        return self._cv2.resize(image, None, fx=scale, fy=scale, interpolation=area)

    def _resized(self, image: Any) -> Any:
        ratio = self.input_side / max(image.shape)
        height, width = (max(STRIDE, round(side * ratio / STRIDE) * STRIDE) for side in image.shape)
        return self._cv2.resize(image, (width, height))

    def _lines(self, image: Any, probable: Any) -> Lines:
        boxes, _ = self._boxes(probable, image.shape)
        if not len(boxes):
            return Lines(np.empty((0, 4, 2)), [])
        corners = self._sorted(boxes)
        return Lines(corners, [self._crop(image, each) for each in corners])


@dataclass
class Recognise(Operator):
    """Reads the text of lines; takes `Lines` and returns a list of `Text` for each page.

    Args:
        recogniser: full, or int8 for a copy whose matrix products are quantised.
        line_scale: width of a line's image relative to its true proportions.
        device: cpu or cuda.
    """

    recogniser: str = "full"
    line_scale: float = 1.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.recogniser not in RECOGNISERS:
            raise ValueError(
                f"recogniser={self.recogniser}: choose one of {', '.join(RECOGNISERS)}"
            )
        _check("line_scale", self.line_scale, 0.1, 4)
        _check_device(self.device)

    def setup(self) -> None:
        """Load the recogniser, and execute it once."""
        import cv2

        cv2.setNumThreads(1)
        self._cv2 = cv2
        self._model = Model(RECOGNISER, self.device, self.recogniser == "int8")
        self._characters = self._model.characters()
        self._model(_as_input(np.full((1, LINE_HEIGHT, 2 * LINE_HEIGHT), 255)))

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Return the texts of each page; lines of similar width are read together."""
        images = [self._resized(crop) for page in batch for crop in page.crops]
        by_width = sorted(range(len(images)), key=lambda at: images[at].shape[1])
        texts = [""] * len(images)
        for start in range(0, len(images), LINES_PER_RUN):
            places = by_width[start : start + LINES_PER_RUN]
            widest = images[places[-1]].shape[1]
            values = np.zeros((len(places), 3, LINE_HEIGHT, widest), np.float32)
            for row, at in enumerate(places):
                values[row, :, :, : images[at].shape[1]] = _as_input(images[at][None])[0]
            for at, classes in zip(places, self._model(values).argmax(axis=2), strict=True):
                texts[at] = self._decoded(classes)
        read = iter(texts)
        return [[_placed(next(read), corners) for corners in page.corners] for page in batch]

    def _resized(self, crop: Any) -> Any:
        height, width = crop.shape
        wide = max(ceil(LINE_HEIGHT * width / height * self.line_scale), LINE_HEIGHT // 2)
        return self._cv2.resize(crop, (wide, LINE_HEIGHT))

    def _decoded(self, classes: Any) -> str:
        """Return the text of the most probable class at each place: repetitions count once."""
        changes = np.flatnonzero(np.diff(classes, prepend=-1))
        return "".join(self._characters[each] for each in classes[changes])


def _placed(text: str, corners: Any) -> Text:
    left, middle = float(corners[:, 0].min()), float(corners[:, 1].mean())
    return Text(text, left, middle, float(np.ptp(corners[:, 1])))


@dataclass(frozen=True)
class Extract(Operator):
    """Finds the fields of documents by their labels; returns a text by field, for each page.

    It is a rule and no model: in each row, the word most similar to a label names the field, and
    the rest of the row is its text.

    Args:
        least_similarity: of a word to a label, as a ratio from 0 to 1; less is no label.
    """

    least_similarity: float = 0.7

    def __post_init__(self) -> None:
        _check("least_similarity", self.least_similarity, 0, 1)

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Return the fields of each page."""
        return [self.fields(page) for page in batch]

    def fields(self, page: Sequence[Text]) -> dict[str, str]:
        """Return the text of each field that was found."""
        best: dict[str, tuple[float, str]] = {}
        for row in rows(page):
            found = re.match(r"\W*(\w+)\s*[:;.,]?\s*(.*)", row)
            for name, label in FIELDS.items():
                if found is None:
                    continue
                alike = SequenceMatcher(None, found[1].lower(), label.lower()).ratio()
                if alike >= max(self.least_similarity, best.get(name, (0.0, ""))[0]):
                    best[name] = (alike, found[2].strip())
        return {name: text for name, (_, text) in best.items()}


def rows(page: Sequence[Text]) -> list[str]:
    """Return the rows of a page from top to bottom: texts at about the same height are joined."""
    grouped: list[list[Text]] = []
    for one in sorted(page, key=lambda one: one.middle):
        if grouped and one.middle - grouped[-1][-1].middle < one.height / 2:
            grouped[-1].append(one)
        else:
            grouped.append([one])
    return [" ".join(one.text for one in sorted(row, key=lambda one: one.left)) for row in grouped]
