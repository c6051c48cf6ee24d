"""Accelerators of one file: what follows from it, a user's own, and mistakes in it."""

import math

import pytest

from hardware_models import llm, prices
from hardware_models.accelerators import AcceleratorError, read_accelerator
from hardware_models.errors import TableError
from hardware_models.gpu import boards, mig
from hardware_models.tables import (
    ACCELERATORS,
    SHIPPED_ACCELERATORS,
    TableSet,
    UserTable,
    accelerators,
    using_tables,
)

OFFLINE_BATCH = math.ceil(boards.offline_batch())
BENCHMARKS = ("bert-99", "resnet50", "retinanet", "rnnt", "ssd-resnet34")
OWN = """
board = "Mine"
vendor = "Me"
[chip]
memory_gb = 20
bandwidth_gb_per_s = 4078
tflops = { fp16 = 624 }
source = "a sheet"
url = "https://example.org"
[[speed]]
at = "offline"
over = "A100-80GB"
speedup = { resnet50 = 4.0, any = 2.0 }
source = "a benchmark"
url = "https://example.org"
[[speed]]
at = "batch_1"
over = "T4"
speedup = { any = 2.0 }
assumption = "guessed"
[price]
date = 2026-10-01
vcpu_usd_per_hour = 0.5
assumption = "as others"
[[price.machines]]
name = "mine-2"
gpus = 2
vcpus = 4
offers = [{ region = "cellar", usd_per_hour = 10 }]
"""
CUT = """
[partitions]
assumption = "halves"
profiles = [
  { name = "half", compute = 1, memory = 1, gb = 10, starts = [0, 1], size = 1, most = 2 },
  { name = "all", compute = 2, memory = 2, gb = 20, starts = [0], size = 2, most = 1 },
]
"""


def using(path, how="merge"):
    return using_tables(TableSet({ACCELERATORS: UserTable(str(path), how)}))


def written(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_accelerators_say_where_each_number_is_from():
    assert set(accelerators()) == {"H200-141GB", "B200-180GB", "MI300X"}
    for one in accelerators().values():
        for section in (one.chip, one.partitions, one.price):
            assert section.source
            assert section.url
        for name, section in one.sections.items():
            assert section.assumption or section.url, name


def test_an_h200_is_as_much_faster_than_an_h100_as_mlperf_measured():
    for name, rates in {"bert-99": (73309.5, 70661.2), "resnet50": (756960, 709920)}.items():
        found = boards.latency_ratio("H200-141GB", name, OFFLINE_BATCH)
        base = boards.latency_ratio("H100-80GB", name, OFFLINE_BATCH)
        assert found.value == pytest.approx(base.value * rates[1] / rates[0], rel=1e-4)
        assert found.basis == base.basis == "scaled"
        assert boards.latency_ratio("H200-141GB", name, 1).basis == "assumed"
    assert boards.benchmarks("H200-141GB") == ("bert-99", "resnet50", "retinanet")


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_what_was_not_measured_is_assumed(benchmark):
    for board, times in (("B200-180GB", 2.275), ("MI300X", 1.0)):
        for batch, speedup in ((1, 1.0), (OFFLINE_BATCH, times)):
            found = boards.latency_ratio(board, benchmark, batch)
            base = boards.latency_ratio("H100-80GB", benchmark, batch)
            assert found.value == pytest.approx(base.value / speedup)
            assert found.basis == "assumed"


def test_language_models_go_by_the_data_sheet():
    model = ("Qwen2.5-Coder-7B-Instruct", "BF16")
    base = llm.iteration_times(*model, "A100-80GB", "full")
    for board, bandwidth, tflops in (
        ("H200-141GB", 4800, 989.5),
        ("B200-180GB", 8000, 2250),
        ("MI300X", 5300, 1307.4),
    ):
        times = llm.iteration_times(*model, board, "full")
        assert times.basis == "assumed"
        assert times.prefill_s_per_token / base.prefill_s_per_token == pytest.approx(312 / tflops)
        assert times.decode_s_per_context_token == pytest.approx(
            base.decode_s_per_context_token * 2039 / bandwidth
        )


def test_they_are_cut_as_an_h100_and_priced():
    for board in ("H200-141GB", "B200-180GB"):
        assert len(mig.maximal_layouts(board)) == len(mig.maximal_layouts("H100-80GB"))
        slices = [each.compute_slices for each in mig.profiles(board).values()]
        assert slices == [each.compute_slices for each in mig.profiles("H100-80GB").values()]
    for machine, price, share in (
        ("gpu-h200-sxm_1gpu-16vcpu-200gb", 3.5, 1 - 16 * 0.0248 / 3.5),
        ("gpu-b200-sxm_8gpu-160vcpu-1792gb", 44.0, 1 - 160 * 0.0248 / 44),
    ):
        assert prices.machine_price_usd_per_hour(machine) == price
        assert prices.gpu_share_of_price(machine) == pytest.approx(share)
    mi300x = prices.machine_price_usd_per_hour("gpu-mi300x1-192gb", region="atl1")
    assert (mi300x, prices.machine_type("gpu-mi300x1-192gb").gpu_board) == (2.59, "MI300X")


def test_a_user_s_own_board_is_known_where_it_is_in_use(tmp_path):
    t4, before = boards.latency_ratio("T4", "rnnt"), boards.boards()
    with using(written(tmp_path, OWN)):
        assert set(boards.boards()) == {*before, "Mine"}
        assert boards.latency_ratio("Mine", "resnet50", OFFLINE_BATCH).value == 0.25
        assert boards.latency_ratio("Mine", "resnet50", OFFLINE_BATCH).basis == "scaled"
        unnamed = boards.latency_ratio("Mine", "rnnt", OFFLINE_BATCH)
        assert (unnamed.value, unnamed.basis) == (0.5, "assumed")
        assert boards.latency_ratio("Mine", "rnnt").value == t4.value / 2
        assert boards.latency_ratio("T4", "rnnt") == t4
        whole = mig.profiles("Mine")["full"]
        assert (whole.compute_fraction, whole.memory_bytes) == (1.0, 20 * 10**9)
        assert prices.gpu_share_of_price("mine-2") == pytest.approx(1 - 4 * 0.5 / 10)
        assert "Mine" in llm.boards()
    assert boards.boards() == before


def test_a_user_s_board_takes_the_place_of_ours_of_its_name(tmp_path):
    written(tmp_path, OWN.replace("Mine", "MI300X") + CUT)
    written(tmp_path, OWN.replace("Mine", "L4").replace("mine-2", "mine-3"), "other.toml")
    with using(tmp_path):
        assert list(mig.profiles("MI300X")) == ["half", "all"]
        assert mig.profiles("MI300X")["half"].compute_fraction == 0.5
        assert mig.profiles("L4")["full"].memory_bytes == 20 * 10**9
        assert boards.latency_ratio("L4", "rnnt", OFFLINE_BATCH).value == 0.5
        assert llm.boards().count("L4") == llm.boards().count("MI300X") == 1
        assert "H200-141GB" in boards.boards()
    written(tmp_path, OWN.replace("Mine", "T4"))
    ours = boards.latency_ratio("T4", "rnnt").value
    with using(tmp_path / "mine.toml"):
        # What a speedup is over is the board that was measured, even by the board's own name.
        assert boards.latency_ratio("T4", "rnnt").value == ours / 2
    with using(tmp_path, "replace"):
        assert "H200-141GB" not in boards.boards()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("memory_gb", "memroy_gb", ["chip.memory_gb: is missing", "did you mean 'memory_gb'"]),
        ("fp16 = 624", "fp16 = -1", ["chip.tflops.fp16=-1: must be greater than 0"]),
        ("fp16 = 624", "fp15 = 1", ["chip.tflops.fp15: no such key; choose one of fp16, tf32"]),
        ('"offline"', '"ofline"', ["speed.0.at=ofline: must be", "did you mean 'offline'"]),
        ("gpus = 2", "gpus = 2.5", ["price.machines.0.gpus=2.5: must be a valid integer"]),
        ("any = 2.0 }\nsource", "rnnt = 2.0 }\nsource", ["no section at offline has a speedup"]),
        ('url = "https', 'url = "http', ["chip.url=http://example.org: must match"]),
        ('assumption = "guessed"', "", ["speed.1: give source and url, or assumption with the"]),
        ("usd_per_hour = 10", "usd_per_hour = inf", ["usd_per_hour=inf: must be a finite number"]),
        ("compute = 2", "compute = 0", ["partitions.profiles.1.compute=0: must be greater than"]),
        ("gb = 20,", "gb = 30,", ["profiles.1.gb=30: must be 20, chip.memory_gb, or less"]),
        (
            "starts = [0],",
            "starts = [1],",
            ["mine.toml: partitions.profiles.1.starts=[1]: must be 0"],
        ),
        ("board = ", "board ", ["cannot be read as TOML", "line 2"]),
        ('"T4"', '"T5"', ["mine.toml: speed.1.over: unknown board 'T5'", "did you mean 'T4'"]),
        ("starts = [0],", "starts = [],", ["profiles.1.starts=[]: must have at least 1 item"]),
        (
            "[[price.machines]]",
            "[price.machines]",
            ["price.machines: must be a list of sections; write [["],
        ),
        ("resnet50", "resnet5", ["speed.0.speedup: unknown benchmark", "did you mean 'resnet50'"]),
    ],
)
def test_a_mistake_is_told_by_key_value_and_what_is_allowed(tmp_path, old, new, said):
    text = OWN + CUT
    assert old in text
    path = written(tmp_path, text.replace(old, new))
    with pytest.raises(AcceleratorError) as caught, using(path):
        pass
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value)


def test_each_mistake_gets_a_sentence(tmp_path):
    path = written(tmp_path, OWN.replace("memory_gb", "memroy_gb").replace("gpus = 2", "gpus = 0"))
    with pytest.raises(AcceleratorError) as caught:
        read_accelerator(path)
    assert len(caught.value.sentences) == 3
    for empty in (tmp_path / "none.toml", tmp_path / "directory"):
        with pytest.raises(AcceleratorError, match=empty.name):
            read_accelerator(empty)
    (tmp_path / "directory").mkdir()
    with pytest.raises(AcceleratorError, match="holds no TOML file"), using(tmp_path / "directory"):
        pass


def test_an_offer_may_not_be_made_twice(tmp_path):
    offer = '{ region = "cellar", usd_per_hour = 10 }'
    path = written(tmp_path, OWN.replace(offer, f"{offer}, {offer}"))
    twice = "price.machines: mine-2, cellar, on-demand is offered more than once"
    with pytest.raises(TableError, match=twice), using(path):
        pass


def test_the_shipped_files_are_those_of_the_package():
    assert sorted(path.stem for path in SHIPPED_ACCELERATORS.iterdir()) == [
        "b200",
        "h200",
        "mi300x",
    ]
