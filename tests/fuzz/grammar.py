"""A grammar of inputs, valid and not: command lines, experiment files, tables, and results.

``case(seed, number)`` draws one case; equal arguments give equal cases.
"""

import random
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from hardware_models.schemas import SCHEMAS
from lab.common.options import groups
from lab.config.compose import compose

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "hardware_models" / "data"
EXAMPLE = ROOT / "docs" / "examples" / "document_reading"
BOARDS = sorted(path.stem for path in (DATA / "accelerators").glob("*.toml"))
BASE = ("planner=greedy", "horizon_s=10", "figures=false")
LONG = 20_000

NUMBERS = (
    *("0", "1", "2", "-1", "0.5", "1.5", "1e-3", "1e-12", "100", "1e6", "1e18", "1e308", "1e400"),
    *("-0.0", "nan", "inf", "-inf", "0x10", "1_000", "007", "1e", "99999999999999999999999", ".5"),
)
TEXTS = (
    *("", " ", "a", "a b", "true", "no", "on", "null", "~", "???", "2026-01-01", "greedy", "edge"),
    *("ä☃", "\u202eabc", "\x1b[31mred", "a\tb", "a\nb", "a\x00b", "é\u0301", "%s%n", "../..", "*"),
    *("${seed}", "${nothing}", "${", "}", "[", "{a:1", "'", '"', "\\", "a,b", "a:b", "a=b", "/"),
    *("__class__", "os.system", "scenarios.cluster.Node", "x" * LONG, "[" * 200, "#", "---", "!!a"),
)
PIECES = (
    *(b"", b"\xff", b"\x00", b"\n", b"'", b'"', b",", b":", b"[", b"{", b"&a ", b"*a", b"\t", b"="),
    *(b"\xef\xbb\xbf", b"1e400", b"nan", b"-", b"\xed\xa0\x80", b"x" * LONG, b"#"),
)
TOO_LONG = ("rate", "horizon_s", "count", "workers", "lanes", "checkpoint_every_s", "tick_s")
"""Keys with which a run may take very long, although nothing is wrong with it."""


@dataclass(frozen=True)
class Case:
    """Commands in a directory that has some files.

    Args:
        kind: which part of the grammar made it.
        files: contents of files by path.
        results: whether the directory ``here`` has the results of a finished run.
        command: the command, as words.
        spoil: what becomes of the results: contents of files by path, or None to remove a file.
    """

    kind: str
    command: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    results: bool = False
    spoil: Mapping[str, bytes | None] = field(default_factory=dict)


def case(seed: int, number: int) -> Case:
    """Return one case."""
    rng = random.Random(f"{seed} {number}")
    kinds: Sequence[tuple[int, Callable[[random.Random], Case]]] = (
        (8, overrides),
        (4, experiment),
        (2, table),
        (2, accelerator),
        (2, application),
        (5, results),
    )
    [draw] = rng.choices([each for _, each in kinds], [weight for weight, _ in kinds])
    return draw(rng)


# Overrides


@cache
def settings() -> dict[str, Any]:
    """Return the value of each key of the default configuration, and of a planner's."""
    tree = OmegaConf.to_container(compose(["planner=videostorm"]))
    return dict(_flat(tree, ""))


def _flat(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if key:
        yield key, node
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _flat(value, f"{key}.{name}" if key else str(name))


def a_key(rng: random.Random) -> str:
    """Return a key: mostly one that exists, else one that is wrong in some way."""
    key = rng.choice(sorted(settings()))
    wrong = rng.random()
    if wrong < 0.04:
        return key + rng.choice((".x", "x", ".", ".0", "[0]", "@"))
    if wrong < 0.08:
        place = rng.randrange(len(key))
        return key[:place] + key[place + 1 :]
    if wrong < 0.1:
        return rng.choice(TEXTS[:-8])
    return key


def a_value(rng: random.Random, like: Any = None, deep: int = 0) -> Any:
    """Return a value as YAML has it: near the one that is there, or anything."""
    draw = rng.random()
    if draw < 0.5 and like is not None:
        return _near(rng, like)
    if draw < 0.7:
        text = rng.choice(NUMBERS)
        return _number(text) if rng.random() < 0.7 else text
    if draw < 0.85 or deep > 2:
        return rng.choice((*TEXTS, None, True, False))
    if draw < 0.93:
        return [a_value(rng, None, deep + 1) for _ in range(rng.randrange(4))]
    names = ("a", "tier", "_target_", "kind", "", "x.y", *TEXTS[:3])
    return {rng.choice(names): a_value(rng, None, deep + 1) for _ in range(rng.randrange(3))}


def _near(rng: random.Random, like: Any) -> Any:
    if isinstance(like, bool):
        return rng.choice((True, False))
    if isinstance(like, int | float):
        return type(like)(like * rng.choice((0.5, 0.9, 1, 1.1, 2, 3)))
    return like


def _number(text: str) -> Any:
    try:
        return float(text) if any(each in text for each in ".en") else int(text)
    except ValueError:
        return text


def spelled(value: Any, rng: random.Random) -> str:
    """Return a value as an override has it, now and then without the quotes that it needs."""
    if isinstance(value, list):
        return f"[{','.join(spelled(each, rng) for each in value)}]"
    if isinstance(value, dict):
        items = (f"{spelled(key, rng)}:{spelled(each, rng)}" for key, each in value.items())
        return f"{{{','.join(items)}}}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if isinstance(value, str) and rng.random() < 0.5:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return text


def harmless(key: str, value: Any) -> Any:
    """Return a value that lets no valid run take very long."""
    if key.rpartition(".")[2] not in TOO_LONG or isinstance(value, bool):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    most = 20 if key == "horizon_s" else 5
    return most if most < number < 1e17 or 0 < number < 0.1 else value


def an_override(rng: random.Random) -> str:
    """Return one override: a value, an option of a group, an addition, or a deletion."""
    draw = rng.random()
    if draw < 0.15:
        group = rng.choice(sorted(groups()))
        options = [*groups()[group], rng.choice(TEXTS)]
        name = rng.choice(options)
        return f"{group}={name}"
    key = a_key(rng)
    if draw < 0.2:
        return f"~{key}"
    if draw < 0.23:
        return rng.choice((key, "", "=", f"{key}==1", f"{key}=", f"--{key}", f"-{key}"))
    value = harmless(key, a_value(rng, settings().get(key)))
    sign = rng.choices(("", "+", "++"), (90, 5, 5))[0]
    return f"{sign}{key}={spelled(value, rng)}"


def without_nul(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command; none can hold a NUL."""
    return tuple(word.replace("\x00", "\x01") for word in words)


def a_mild_override(rng: random.Random) -> str:
    """Return an override that is probably valid: an option of a group, or a value nearby."""
    if rng.random() < 0.2:
        group = rng.choice(("cluster", "network", "drift", "data_plane", "application"))
        return f"{group}={rng.choice([*groups()[group]])}"
    single = {key: value for key, value in settings().items() if isinstance(value, int | float)}
    key = rng.choice(sorted(key for key in single if not key.startswith("planner.")))
    return f"{key}={spelled(harmless(key, _near(rng, single[key])), rng)}"


def overrides(rng: random.Random) -> Case:
    """Return a run with some overrides."""
    draw = a_mild_override if rng.random() < 0.4 else an_override
    chosen = [draw(rng) for _ in range(rng.randrange(1, 4))]
    return Case("overrides", without_nul(["compass-sim", *BASE, "hydra.run.dir=here", *chosen]))


# Experiment files


def experiment(rng: random.Random) -> Case:
    """Return a run of an experiment file of the user's."""
    tree: dict[str, Any] = {}
    for _ in range(rng.randrange(1, 4)):
        key = a_key(rng)
        node = tree
        *path, last = key.split(".")
        for name in path:
            child = node.setdefault(name, {})
            if not isinstance(child, dict):
                break
            node = child
        node[last] = harmless(key, a_value(rng, settings().get(key)))
    if rng.random() < 0.5:
        group = rng.choice(sorted(groups()))
        option = rng.choice([*groups()[group], "nosuch"])
        tree["defaults"] = [rng.choice(({f"override /{group}": option}, {group: option}, option))]
    head = "# @package _global_\n" if rng.random() < 0.9 else ""
    text = (head + yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)).encode()
    if rng.random() < 0.3:
        text = scrambled(rng, text)
    return Case(
        "experiment",
        ("compass-sim", "--config-dir", "mine", "experiment=made", *BASE, "hydra.run.dir=here"),
        {"mine/experiment/made.yaml": text},
    )


def scrambled(rng: random.Random, data: bytes) -> bytes:
    """Return bytes with some damage."""
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data) + 1)
        piece = rng.choice(PIECES)
        data = data[:place] + piece + data[place + rng.choice((0, 1, 1, 5, 50)) :]
    return data


# Tables, applications and accelerators


def cells(rng: random.Random, text: str) -> bytes:
    """Return a CSV file with a few other cells, rows or columns."""
    rows = [line.split(",") for line in text.splitlines()[:40]]
    for _ in range(rng.randrange(1, 4)):
        row = rng.choice(rows)
        place = rng.randrange(len(row))
        draw = rng.random()
        if draw < 0.3:
            row[place] = rng.choice((*NUMBERS, *TEXTS))
        elif draw < 0.6:
            try:
                row[place] = f"{float(row[place]) * rng.choice((0.5, 0.9, 1.1, 2)):g}"
            except ValueError:
                row[place] = rng.choice(rows)[place % len(rng.choice(rows))] if rows else ""
        elif draw < 0.7:
            rows.append(list(rng.choice(rows)))
        elif draw < 0.8:
            rows.pop(rng.randrange(len(rows)))
            rows = rows or [[""]]
        elif draw < 0.9:
            for each in rows:
                del each[place : place + 1]
            rows = [each or [""] for each in rows]
    data = "\n".join(",".join(row) for row in rows).encode(errors="replace")
    return scrambled(rng, data) if rng.random() < 0.15 else data


def table(rng: random.Random) -> Case:
    """Return a run with rows of the user's in a table."""
    name = rng.choice(sorted(each for each in SCHEMAS if (DATA / f"{each}.csv").is_file()))
    text = (DATA / f"{name}.csv").read_text(encoding="utf-8")
    how = rng.choice(("merge", "merge", "replace", "append"))
    word = f"tables.{name}={{path: mine.csv, how: {how}}}"
    return Case(
        "table",
        ("compass-sim", *BASE, "hydra.run.dir=here", word),
        {"mine.csv": cells(rng, text)},
    )


def application(rng: random.Random) -> Case:
    """Return a run of an application of the user's, with other tables or another file."""
    files = {
        f"mine/{path.relative_to(EXAMPLE).as_posix()}": path.read_bytes()
        for path in sorted(EXAMPLE.rglob("*"))
        if path.suffix in (".yaml", ".csv")
    }
    name = rng.choice(sorted(files))
    if name.endswith(".csv"):
        files[name] = cells(rng, files[name].decode())
    else:
        tree = yaml.safe_load(files[name])
        keys = [key for key, _ in _flat(tree, "")]
        for _ in range(rng.randrange(1, 3)):
            *path, last = rng.choice(keys).split(".")
            node = tree
            for each in path:
                node = node.get(each, {}) if isinstance(node, dict) else {}
            if isinstance(node, dict):
                node[last] = a_value(rng, node.get(last))
        files[name] = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode()
        files[name] = scrambled(rng, files[name]) if rng.random() < 0.2 else files[name]
    words = (
        "--config-dir",
        "mine",
        "application=document_reading",
        "application.tables=mine/tables",
    )
    return Case("application", ("compass-sim", *words, *BASE, "hydra.run.dir=here"), files)


def accelerator(rng: random.Random) -> Case:
    """Return a check of an accelerator's file, or a run with it."""
    lines = (DATA / "accelerators" / f"{rng.choice(BOARDS)}.toml").read_text().splitlines()
    for _ in range(rng.randrange(0, 3)):
        place = rng.randrange(len(lines))
        key, sign, value = lines[place].partition(" = ")
        draw = rng.random()
        if draw < 0.5 and sign:
            new = rng.choice(
                (*NUMBERS, *(f'"{each}"' for each in TEXTS), "[]", "{}", "true", value)
            )
            lines[place] = f"{key} = {new}"
        elif draw < 0.8:
            del lines[place]
            lines = lines or [""]
        else:
            lines.insert(place, rng.choice(lines))
    data = "\n".join(lines).encode(errors="replace")
    data = scrambled(rng, data) if rng.random() < 0.15 else data
    command = ("compass-lab", "accelerator", "mine.toml")
    if rng.random() < 0.4:
        command = ("compass-sim", *BASE, "hydra.run.dir=here", "tables.accelerators=[mine.toml]")
    return Case("accelerator", command, {"mine.toml": data})


# Results of a run


RESULTS = ("summary.json", "config.yaml", "checkpoint.jsonl")
TABLES = ("queries", "windows", "operators", "decisions", "offers", "profiling", "requests")
JSONS = ("", "{", "{}", "[]", "null", "3", '"x"', '{"status": 3}', '{"status": "running"}', "[[]]")
AFTER = (
    *("compass-lab report here", "compass-lab report .", "compass-lab explain here 0"),
    *(
        "compass-lab explain here 1 --rows 2",
        "compass-lab explain here 99",
        "compass-lab trace here",
    ),
    *("compass-lab trace here --from 2 --to 5", "compass-lab trace here --query 0"),
    f"compass-sim {' '.join(BASE)} requests=true hydra.run.dir=here resume=true",
    f"compass-sim {' '.join(BASE)} requests=true hydra.run.dir=here",
    f"compass-sim -m {' '.join(BASE)} requests=true hydra.sweep.dir=. resume=true",
)


def results(rng: random.Random) -> Case:
    """Return a command on the results of a run, of which some file is not as it was."""
    spoil: dict[str, bytes | None] = {}
    for _ in range(rng.randrange(1, 3)):
        if rng.random() < 0.5:
            name = f"here/{rng.choice(RESULTS)}"
            spoil[name] = rng.choice((*(each.encode() for each in JSONS), b"\xff\xfe", None))
        else:
            name = f"here/{rng.choice(TABLES)}/part-{rng.choice((0, 0, 1)):05d}.parquet"
            spoil[name] = rng.choice((b"", b"PAR1", b"no parquet", None, b"PAR1" + bytes(40)))
    return Case("results", tuple(shlex.split(rng.choice(AFTER))), {}, True, spoil)
