"""The accelerator boards and their TOML files, with data sheets, partitions, speeds and prices.

``docs/how_to/adding_an_accelerator.md`` explains the keys. Every section of a file either names the
source of its numbers with a web address, or states why they are assumed.
`hardware_models.tables.load_table` adds rows with the partitions, data sheets and prices to its
tables, and `hardware_models.gpu.boards` reads the speeds.
"""

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from hardware_models.basis import Basis
from hardware_models.data_files import content
from hardware_models.errors import TableError
from hardware_models.model_errors import sentence

ANY = "any"
"""The name that denotes all other benchmarks."""

TABLES = ("gpu_partitions", "llm_boards", "prices")
"""The tables to which a file adds rows."""

Row = dict[str, Any]
End = Literal["batch_1", "offline"]
Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Gigabytes = Annotated[float, Field(ge=1, le=1000)]
Count = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern="^https://")]


class AcceleratorError(TableError):
    """An accelerator file is not valid; `sentences` has one sentence for each mistake in it."""

    def __init__(self, sentences: list[str]):
        super().__init__("; ".join(sentences))
        self.sentences = sentences


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SourcedSection(_Keys):
    """A section of numbers that one source publishes, or that are assumed for a stated reason."""

    source: Name | None = None
    url: Url | None = None
    assumption: Name | None = None
    note: Name | None = None

    @model_validator(mode="after")
    def _of_one_origin(self) -> Self:
        if (self.source is None or self.url is None) and self.assumption is None:
            raise ValueError("give source and url, or assumption with the reason")
        return self

    def provenance(self, unit: str) -> Row:
        """Return the provenance columns of a row."""
        return {
            "unit": unit,
            "kind": "assumption" if self.assumption else "published",
            "source": self.source or self.assumption,
            "source_url": self.url,
            "note": self.assumption or self.note,
        }


class Tflops(_Keys):
    """Peak dense throughput by precision, in 10^12 operations a second."""

    fp16: Positive
    tf32: Positive | None = None
    fp8: Positive | None = None
    int8: Positive | None = None
    fp4: Positive | None = None


class Chip(SourcedSection):
    """The data sheet of a board."""

    memory_gb: Gigabytes
    bandwidth_gb_per_s: Positive
    tflops: Tflops


class InstanceType(_Keys):
    """An instance profile of the board; see `hardware_models.gpu.mig.MigProfile`."""

    name: Name
    mode: Name = "mig"
    compute: Count
    memory: Count
    gb: Gigabytes
    starts: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    size: Count
    most: Count
    media: bool = False


class Partitions(SourcedSection):
    """How the board is partitioned."""

    profiles: Annotated[list[InstanceType], Field(min_length=1)]


class Speed(SourcedSection):
    """Speeds relative to another board's, by benchmark, at batch 1 or at the largest batches."""

    at: End
    over: Name
    speedup: Annotated[dict[str, Positive], Field(min_length=1)]


class MachinePrice(_Keys):
    """The price of a whole machine, in USD per hour."""

    region: Name
    purchase: Literal["on-demand", "spot", "1-year commit", "3-year commit"] = "on-demand"
    usd_per_hour: Annotated[float, Field(ge=0.001, le=1000)]


class MachineType(_Keys):
    """A type of machine that has the board."""

    name: Name
    gpus: Count
    vcpus: Count
    ram_gb: Positive | None = None
    offers: Annotated[list[MachinePrice], Field(min_length=1)]


class Price(SourcedSection):
    """Dated machine prices, from which the virtual CPUs' price is subtracted to price boards."""

    date: Name | date
    vcpu_usd_per_hour: Annotated[float, Field(ge=0)]
    machines: Annotated[list[MachineType], Field(min_length=1)]


class Accelerator(_Keys):
    """An accelerator board, as declared in its file."""

    board: Name
    vendor: Name
    chip: Chip
    partitions: Partitions | None = None
    speed: list[Speed]
    price: Price

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        slices = max((each.size for each in self.profiles), default=0)
        for number, each in enumerate(self.profiles):
            key, last = f"partitions.profiles.{number}", slices - each.size
            if each.gb > self.chip.memory_gb:
                most = f"{self.chip.memory_gb:g}, chip.memory_gb,"
                raise ValueError(f"{key}.gb={each.gb:g}: must be {most} or less")
            if max(each.starts) > last:
                raise ValueError(
                    f"{key}.starts={each.starts}: must be {last} or less, because {each.name} "
                    f"takes {each.size} of {slices} memory slices"
                )
        named = [(one.at, name) for one in self.speed for name in one.speedup]
        if twice := [key for key in named if named.count(key) > 1]:
            raise ValueError(f"speed: {twice[0][1]} has two speedups at {twice[0][0]}")
        for end in get_args(End):
            if (end, ANY) not in named:
                raise ValueError(f"speed: no section at {end} has a speedup of {ANY}")
        offers = [
            (m.name, one.region, one.purchase) for m in self.price.machines for one in m.offers
        ]
        if again := [offer for offer in offers if offers.count(offer) > 1]:
            raise ValueError(f"price.machines: {', '.join(again[0])} is offered more than once")
        return self

    @property
    def profiles(self) -> list[InstanceType]:
        """The partition profiles; a file without profiles has only ``full``, the whole board."""
        if self.partitions is not None:
            return self.partitions.profiles
        ones: Any = dict.fromkeys(("compute", "memory", "size", "most"), 1)
        return [InstanceType(name="full", mode="whole", gb=self.chip.memory_gb, starts=[0], **ones)]

    @property
    def sections(self) -> dict[str, SourcedSection]:
        """The sections of the file that contain numbers, by name."""
        speeds = {f"speed.{number}": each for number, each in enumerate(self.speed)}
        cut = {} if self.partitions is None else {"partitions": self.partitions}
        return {"chip": self.chip, **cut, **speeds, "price": self.price}

    def speedup(self, benchmark: str, end: End) -> tuple[float, str, Basis]:
        """Return the board's relative speed, the board to which it is relative, and the basis."""
        sections = {name: one for one in self.speed if one.at == end for name in one.speedup}
        section = sections.get(benchmark)
        basis: Basis = "assumed" if section is None or section.assumption else "scaled"
        name, section = (ANY, sections[ANY]) if section is None else (benchmark, section)
        return section.speedup[name], section.over, basis

    def rows(self, table: str) -> list[Row]:
        """Return the rows that this file adds to a table; only tables in `TABLES` get rows."""
        if table == "gpu_partitions":
            origin = (self.partitions or self.chip).provenance("slices; GB")
            return [
                {
                    "board": self.board,
                    "profile": each.name,
                    "mode": each.mode,
                    "compute_slices": each.compute,
                    "memory_slices": each.memory,
                    "memory_gb": each.gb,
                    "start_indexes": " ".join(map(str, each.starts)),
                    "size_memory_slices": each.size,
                    "max_instances": each.most,
                    "media_extensions": int(each.media),
                    **origin,
                }
                for each in self.profiles
            ]
        if table == "llm_boards":
            sheet = {
                "board": self.board,
                "memory_gb_per_s": self.chip.bandwidth_gb_per_s,
                "tensor_tflops": self.chip.tflops.fp16,
            }
            return [sheet | self.chip.provenance("GB/s; TFLOP/s")]
        if table == "prices":
            origin = self.price.provenance("USD/hour (whole machine)")
            return [
                {
                    "item": machine.name,
                    "purchase": offer.purchase,
                    "region": offer.region,
                    "date": str(self.price.date),
                    "gpu": self.board,
                    "gpus": machine.gpus,
                    "vcpus": machine.vcpus,
                    "ram_gb": machine.ram_gb,
                    "price_usd_per_hour": offer.usd_per_hour,
                    **origin,
                }
                for machine in self.price.machines
                for offer in machine.offers
            ]
        return []


def read_accelerator(path: Path) -> Accelerator:
    """Read the file of one accelerator.

    Raises:
        AcceleratorError: The file cannot be read, or a key is missing, unknown or has a wrong
            value.
    """
    try:
        return Accelerator.model_validate(tomllib.loads(content(path).decode("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise AcceleratorError([f"{path}: cannot be read as TOML ({reason})"]) from None
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        raise AcceleratorError([f"{path}: {_sentence(one)}" for one in wrong]) from None


def _sentence(error: ErrorDetails) -> str:
    if error["type"] == "list_type" and isinstance(error["input"], dict):
        key = ".".join(map(str, error["loc"]))
        return f"{key}: must be a list of sections; write [[{key}]], not [{key}]"
    return sentence(error, Accelerator)
