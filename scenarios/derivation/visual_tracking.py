"""Tables of visual tracking, which samples frames and detects and tracks people.

The application has 200 configurations. The detectors are YOLOX models, because multi-object
tracking accuracy (MOTA) was published for each of their sizes with the same tracker (ByteTrack). No
MOTA was found for YOLOv8, although its times on an A100 are known. A request is a segment of one
second; the frame rate decides how many of its frames are used.

* *Time of a detector*: detectors were measured on a V100 in PyTorch at half precision. YOLOX
  reports the time of one frame of 640 x 640, and ByteTrack the time at 800 x 1440 together with the
  tracker. The line a + b x GFLOPs + tracker is fitted to both. The time at another resolution is
  the time measured at 640 x 640 plus b times the difference in GFLOPs, which are proportional to
  pixels. The time on an A100 is this time divided by the ratio of the two boards' speeds.
* *Time of a tracker*: the time of ByteTrack is the tracker's term of that line, also for the crowds
  of MOT20. SORT is assumed to take half of this time, because it associates detections once and
  ByteTrack does so twice.
* *Time on a small CPU*: a power law of GFLOPs is fitted to the times of YOLO11 on the CPU of a
  Jetson Orin Nano. It is multiplied by the ratio of a Raspberry Pi 5's times to these times, which
  comes from the two sizes measured on both.
* *Accuracy*: the MOTA of the largest detector on each data set's test sequences is multiplied by a
  ratio for each knob. The ratios were measured for one knob at a time; their product is an
  assumption. The ratio of a detector is its MOTA on the training sequences relative to the largest
  detector's, as the source advises. The ratio of a resolution is a power of the ratio of mean
  average precision (mAP), which is 1 + g ln(px / 1440). The exponent is the one with which MOTA
  depends on mAP over detectors. The ratio of a frame rate is the F1 score of pedestrian detection
  at that rate divided by the score at 30 frames/s (AWStream). The ratio of a tracker is its MOTA
  on equal detections divided by that of ByteTrack.
* *Scenes*: cameras differ as the seven training sequences of MOT17 do, whose MOTA was published
  for CenterTrack. A sequence's ratio is its MOTA over the mean, in which sequences count by their
  objects. All configurations are assumed to differ alike. For MOT20, no such values were found.
* *Bytes of a segment*: a power law of the width, for H.264 at quantiser 20 and 30 frames/s
  (AWStream), is multiplied by a ratio for the frame rate.
"""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.stats import gmean

from hardware_models.gpu.boards import latency_ratio
from hardware_models.tables import load_table
from scenarios.derivation._shared import raw, sourced
from scenarios.numerics import Floats

DETECTORS = ("YOLOX-x", "YOLOX-l", "YOLOX-m", "YOLOX-s")
TRACKERS = ("ByteTrack", "SORT")
WIDTHS = (1440, 1152, 864, 640, 480)
FRAME_RATES = (30, 10, 5, 3, 2)
DATASETS = ("MOT17", "MOT20")
CAMERA_WIDTH = 1920
COCO_PIXELS = 640 * 640
QUANTISER = 20
DECIMALS = 9  # of ratios over sequences


def derive() -> Mapping[str, pl.DataFrame]:
    """Return the application's tables, by name."""
    return {
        "sampling": _sampling(),
        "resolutions": _resolutions(),
        "detections": _detections(),
        "detectors": _detectors(),
        "trackers": _trackers(),
        "steps": _steps(),
        "content": _content(),
        "camera": _camera(),
        "scenes": _scenes(),
        "scene_accuracy": _scene_accuracy(),
    }


def _measured_scenes(system: str = "CenterTrack") -> tuple[list[str], Floats, Floats]:
    """Return the sequences, their numbers of objects, and their MOTA over that of all."""
    types = {"objects": pl.Float64, "mota": pl.Float64}
    rows = raw("tracking_sequences", **types).filter(system=system)
    objects, mota = rows["objects"].to_numpy(), rows["mota"].to_numpy()
    return rows["sequence"].to_list(), objects, mota / np.average(mota, weights=objects)


def _scenes() -> pl.DataFrame:
    names, objects, _ = _measured_scenes()
    return sourced(
        "visual_tracking.scenes",
        {"dataset": ["MOT17"] * len(names), "stratum": names, "weight": objects},
        rounded=False,
    )


def _scene_accuracy() -> pl.DataFrame:
    names, _, ratios = _measured_scenes()
    return sourced(
        "visual_tracking.scene_accuracy",
        {
            "dataset": [*["MOT17"] * len(names), *DATASETS],
            "stratum": [*names, *["all"] * len(DATASETS)],
            "accuracy_ratio": [*ratios.round(DECIMALS), *[1.0] * len(DATASETS)],
        },
        rounded=False,
    )


def _facts(quantity: str) -> dict[str, float]:
    rows = raw("tracking_facts", value=pl.Float64).filter(pl.col("quantity") == quantity)
    return dict(zip(rows["item"], rows["value"], strict=True))


def _bytetrack(metric: str, dataset: str) -> dict[str, float]:
    rows = raw("tracking_bytetrack", value=pl.Float64).filter(metric=metric, dataset=dataset)
    return dict(zip(rows["detector"], rows["value"], strict=True))


def _coco(column: str) -> Floats:
    """Return a column of the rows with the detectors' mAP at 640 x 640."""
    rows = load_table("detection_map").filter(pl.col("metric") == "mAP50-95 COCO val")
    found = dict(zip(rows["model"], rows[column], strict=True))
    return np.array([found[name] for name in DETECTORS])


def _forward_ms() -> Floats:
    """Return the detectors' measured times on a V100 at 640 x 640, in ms."""
    rows = load_table("detection_latency").filter(
        (pl.col("hardware") == "V100") & (pl.col("metric") == "latency")
    )
    found = dict(zip(rows["model"], rows["value"], strict=True))
    return np.array([found[name] for name in DETECTORS])


def _pixels(dataset: str) -> float:
    return _facts("input_height")[dataset] * _facts("input_width")[dataset]


def _gflops(width: int) -> Floats:
    """Return the detectors' GFLOPs on a frame of this width with the aspect ratio of 800 x 1440."""
    pixels = _pixels("MOT17") * (width / _facts("input_width")["MOT17"]) ** 2
    return np.asarray(_coco("flops_g") * pixels / COCO_PIXELS)


def _line() -> tuple[float, float, float]:
    """Fit the times on a V100; return the fixed ms, the ms per GFLOP, and the tracker's ms."""
    fps = _bytetrack("FPS", "MOT17 train")
    tracked_ms = np.array([1e3 / fps[name] for name in DETECTORS])
    flops = np.concatenate([_coco("flops_g"), _gflops(WIDTHS[0])])
    with_tracker = np.repeat([0.0, 1.0], len(DETECTORS))
    design = np.column_stack([np.ones_like(flops), flops, with_tracker])
    fixed, slope, tracker = np.linalg.lstsq(
        design, np.concatenate([_forward_ms(), tracked_ms]), rcond=None
    )[0].tolist()
    return fixed, slope, tracker


def _sampling() -> pl.DataFrame:
    f1, size = _by_frame_rate("accuracy_f1"), _by_frame_rate("bandwidth_kbps")
    return sourced(
        "visual_tracking.sampling",
        {
            "frame_rate_hz": FRAME_RATES,
            "frames": FRAME_RATES,
            "accuracy_ratio": [f1[rate] for rate in FRAME_RATES],
            "bytes_ratio": [size[rate] for rate in FRAME_RATES],
        },
        rounded=False,
    )


def _by_frame_rate(column: str) -> dict[int, float]:
    """Return values relative to 30 frames/s, from pairs of rows that differ only in frame rate."""
    rows = raw("video_knobs_awstream").filter(
        pl.col("application").str.starts_with("pedestrian detection (MOT)")
    )
    cells = zip(
        rows["application"].str.ends_with("manual policy"),
        *(rows[name].cast(pl.Float64) for name in ("frame_width_px", "quantizer")),
        rows["effective_fps_if_30"].cast(pl.Float64),
        rows[column].cast(pl.Float64),
        strict=True,
    )
    at = {
        (manual, int(width), int(quantiser), int(rate)): value
        for manual, width, quantiser, rate, value in cells
    }
    ten = at[True, 1280, 20, 10] / at[True, 1280, 20, 30]
    five, three = (at[False, 1920, 20, rate] / at[False, 1920, 20, 10] for rate in (5, 3))
    two = gmean([at[False, width, 30, 2] / at[False, width, 30, 3] for width in (1280, 1600, 1920)])
    return {30: 1.0, 10: ten, 5: ten * five, 3: ten * three, 2: float(ten * three * two)}


def _segment_bytes(width: int) -> float:
    """Return the bytes of a second of video at 30 frames/s, by a power law of the width."""
    rows = raw("video_knobs_awstream").filter(
        (pl.col("application") == "pedestrian detection (MOT), no frame skip")
        & (pl.col("quantizer").cast(pl.Float64) == QUANTISER)
    )
    widths = rows["frame_width_px"].cast(pl.Float64).to_numpy()
    rates = rows["bandwidth_kbps"].cast(pl.Float64).to_numpy()
    power, scale = np.polyfit(np.log(widths), np.log(rates * 1e3 / 8), 1)
    return float(np.exp(scale + power * np.log(width)))


def _resolution_loss() -> float:
    """Return g, the relative change of mAP per unit of ln(px), averaged over detectors."""
    rows = load_table("detection_resolution").filter(
        pl.col("map50_95").is_not_null() & (pl.col("input_px") <= math.isqrt(COCO_PIXELS))
    )
    change, log_size = [], []
    for _, one in rows.group_by("model", maintain_order=True):
        top = one.sort("input_px").tail(1)
        change += (one["map50_95"] / top["map50_95"].item() - 1).to_list()
        log_size += np.log((one["input_px"] / top["input_px"].item()).to_numpy()).tolist()
    x, y = np.array(log_size), np.array(change)
    return float((x * y).sum() / (x * x).sum())


def _mota_power() -> float:
    """Return the exponent of MOTA as a power of mAP, over the detectors."""
    mota = _bytetrack("MOTA", "MOT17 train")
    values = np.array([mota[name] for name in DETECTORS])
    return float(np.polyfit(np.log(_coco("value")), np.log(values), 1)[0])


def _resolutions() -> pl.DataFrame:
    loss, power = _resolution_loss(), _mota_power()
    relative = [(1 + loss * math.log(width / WIDTHS[0])) ** power for width in WIDTHS]
    return sourced(
        "visual_tracking.resolutions",
        {
            "input_px": WIDTHS,
            "accuracy_ratio": relative,
            "segment_bytes": [_segment_bytes(width) for width in WIDTHS],
        },
        rounded=False,
        loss=loss,
        power=power,
        widest=WIDTHS[0],
    )


def _detections() -> pl.DataFrame:
    _, slope, _ = _line()
    board = latency_ratio("V100", "ssd-resnet34").value
    parts = []
    for width in WIDTHS:
        gflops = _gflops(width)
        at_v100 = _forward_ms() + slope * (gflops - _coco("flops_g"))
        seconds = at_v100 / board / 1e3
        parts.append(
            sourced(
                "visual_tracking.detections",
                {
                    "detector": DETECTORS,
                    "input_px": [width] * len(DETECTORS),
                    "gflops": gflops,
                    "like_items": gflops / _facts("gflops")["resnet101"],
                    "latency_s": seconds,
                    "device_ratio": _small_cpu_s(gflops) / seconds,
                },
                rounded=False,
                slope=slope,
                board=board,
            )
        )
    return pl.concat(parts)


def _small_cpu_s(gflops: Floats) -> Floats:
    rows = load_table("detection_latency").filter(pl.col("metric") == "latency")

    def timed(hardware: str, precision: str) -> dict[str, float]:
        here = rows.filter((pl.col("hardware") == hardware) & (pl.col("precision") == precision))
        return dict(zip(here["model"], here["value"], strict=True))

    orin = timed("Jetson Orin Nano Super (CPU)", "CPU NCNN")
    small = timed("Raspberry Pi 5", "fp32 NCNN")
    coco = load_table("detection_map").filter(pl.col("metric") == "mAP50-95 COCO val")
    flops = dict(zip(coco["model"], coco["flops_g"], strict=True))
    known = [flops[name] for name in orin]
    power, scale = np.polyfit(np.log(known), np.log(list(orin.values())), 1)
    ratio = gmean([small[name] / orin[name] for name in small if name in orin])
    return np.asarray(ratio * np.exp(scale + power * np.log(gflops)) / 1e3)


def _detectors() -> pl.DataFrame:
    mota = _bytetrack("MOTA", "MOT17 train")
    return sourced(
        "visual_tracking.detectors",
        {
            "detector": DETECTORS,
            "accuracy_ratio": [mota[name] / mota[DETECTORS[0]] for name in DETECTORS],
            "weight_bytes": np.rint(_coco("params_m") * 2e6).astype(int),
        },
        rounded=False,
    )


def _trackers() -> pl.DataFrame:
    mota = _facts("mota")
    return sourced(
        "visual_tracking.trackers",
        {
            "tracker": TRACKERS,
            "accuracy_ratio": [mota[name] / mota["ByteTrack"] for name in TRACKERS],
        },
        rounded=False,
    )


def _steps() -> pl.DataFrame:
    fixed, slope, byte_ms = _line()
    crowd_gflops = _coco("flops_g")[0] * _pixels("MOT20") / COCO_PIXELS
    crowd_ms = 1e3 / _bytetrack("FPS", "MOT20 train")[DETECTORS[0]]
    times_ms = {"MOT17": byte_ms, "MOT20": crowd_ms - fixed - slope * crowd_gflops}
    associations = _facts("associations")
    times = {
        (tracker, dataset): byte * associations[tracker] / associations["ByteTrack"]
        for tracker in TRACKERS
        for dataset, byte in times_ms.items()
    }
    return sourced(
        "visual_tracking.steps",
        {
            "tracker": [tracker for tracker, _ in times],
            "dataset": [dataset for _, dataset in times],
            "step_s": [milliseconds / 1e3 for milliseconds in times.values()],
        },
        rounded=False,
        fixed=fixed,
        slope=slope,
    )


def _content() -> pl.DataFrame:
    frames, boxes = _facts("frames"), _facts("boxes")
    return sourced(
        "visual_tracking.content",
        {
            "dataset": DATASETS,
            "mota": [_bytetrack("MOTA", f"{name} test")[DETECTORS[0]] / 100 for name in DATASETS],
            "boxes_per_frame": [boxes[name] / frames[name] for name in DATASETS],
        },
        rounded=False,
    )


def _camera() -> pl.DataFrame:
    resize_ms = raw("detection_pipeline_profile")["preprocess_ms"].cast(pl.Float64).to_numpy()
    return sourced(
        "visual_tracking.camera",
        {
            "resize_s": [float(np.median(resize_ms)) / 1e3],
            "segment_bytes": [_segment_bytes(CAMERA_WIDTH)],
            "box_bytes": [_facts("box_bytes")["all"]],
            "item_sd": [_facts("item_sd")["all"]],
        },
        rounded=False,
        width=CAMERA_WIDTH,
    )
