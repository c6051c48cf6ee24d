"""What a served pipeline is: ordered operators with their knobs, replicas and batches.

A pipeline is a YAML file. Its classes are named by ``_target_`` as in all configuration files of
this project, and the other keys are the arguments of the class: an operator's knobs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.resources import files
from inspect import signature
from math import isfinite
from pathlib import Path
from re import fullmatch, sub
from typing import Any

from yaml import YAMLError

from lab.common.errors import InputError, choices, one_line, shown
from lab.common.yaml_files import check_yaml, parsed, read_text, why_not_yaml
from lab.config.targets import build
from lab.config.trust import check_file
from lab.serving.payloads import Payloads
from scenarios.applications.pipeline import ANSWER

KEYS = ("name", "payloads", "operators")
NAME = "[a-z][a-z0-9_]*"
MOST_REPLICAS = 64


class Operator(ABC):
    """One step of a pipeline. Its constructor takes the knobs, which are plain values.

    The constructor must be cheap, because it also runs where only the file is checked.
    """

    def setup(self) -> None:  # noqa: B027 -- many operators have nothing to load
        """Load models; this is called once in each replica, before the first batch."""

    @abstractmethod
    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Return a result for each item of a batch, in the same order.

        The first operator gets the bodies of requests. Each further one gets what the one before
        it returned. What the last one returns is the answer: bytes, or a value that JSON can hold.
        """


@dataclass(frozen=True)
class Stage:
    """An operator of a pipeline, and how it is served.

    Args:
        operator: what computes.
        replicas: processes that serve it.
        max_batch: most requests in one batch.
        max_wait_s: longest time for which the first request of a batch waits for others.
    """

    operator: Operator
    replicas: int = 1
    max_batch: int = 1
    max_wait_s: float = 0.0

    def __post_init__(self) -> None:
        check_served(self.replicas, self.max_batch, self.max_wait_s)


def check_served(replicas: int, max_batch: int, max_wait_s: float) -> None:
    """Raise ValueError if an operator cannot be served in this way."""
    if not 1 <= replicas <= MOST_REPLICAS:
        raise ValueError(f"replicas={replicas}: must be from 1 to {MOST_REPLICAS}")
    if max_batch < 1:
        raise ValueError(f"max_batch={max_batch}: must be 1 or more")
    if not (isfinite(max_wait_s) and max_wait_s >= 0):
        raise ValueError(f"max_wait_s={max_wait_s}: must be 0 s or more")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline whose file has been checked.

    Args:
        name: its name.
        payloads: what is sent to it.
        stages: its operators by name, in the order in which a request visits them.
        tree: the plain content of the file with the overrides, from which `build_pipeline` makes
            the same pipeline again, in another process.
    """

    name: str
    payloads: Payloads
    stages: Mapping[str, Stage]
    tree: Mapping[str, Any]

    def described(self) -> list[dict[str, Any]]:
        """Return how each operator is served, with its class and its knobs."""
        described = []
        for name, stage in self.stages.items():
            knobs = dict(self.tree["operators"][name]["operator"])
            first = {"name": name, "class": knobs.pop("_target_")}
            wanted = signature(type(stage.operator)).parameters.values()
            knobs = {
                one.name: one.default for one in wanted if one.default is not one.empty
            } | knobs
            served = {key: getattr(stage, key) for key in ("replicas", "max_batch", "max_wait_s")}
            described.append({**first, **served, "knobs": knobs})
        return described


def shipped() -> dict[str, Any]:
    """Return the files of the pipelines that this package includes, by name."""
    found = files("lab.serving").joinpath("pipelines").iterdir()
    return {
        one.name.removesuffix(".yaml"): one
        for one in sorted(found, key=lambda one: one.name)
        if one.name.endswith(".yaml")
    }


def load_pipeline(
    name: str, overrides: Sequence[str] = (), allowed: frozenset[str] = frozenset()
) -> Pipeline:
    """Read a pipeline.

    Args:
        name: name of a shipped pipeline, or path of a YAML file.
        overrides: ``KEY=VALUE`` words, such as ``operators.detect.max_batch=4``.
        allowed: modules outside this project whose classes the file can name.

    Raises:
        InputError: the file is missing or something in it is wrong.
    """
    ours = shipped()
    path = Path(str(ours[name])) if name in ours else Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such file, nor a shipped pipeline; {choices(name, ours)}")
    try:
        text = read_text(path)
        check_yaml(text, path)
        tree = parsed(text, path)
    except (OSError, ValueError, RecursionError, YAMLError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {why_not_yaml(error)}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: must have a mapping with the keys {', '.join(KEYS)}")
    check_file(tree, str(path), allowed)
    return build_pipeline(with_overrides(tree, overrides))


def with_overrides(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a tree with what ``KEY=VALUE`` words set; the parent of a key must exist."""
    changed: dict[str, Any] = deepcopy(dict(tree))
    for word in overrides:
        key, equals, text = word.partition("=")
        *above, last = key.split(".")
        node: Any = changed
        for name in above:
            if not isinstance(node, dict) or name not in node:
                known = node if isinstance(node, dict) else {}
                raise InputError(f"{word}: there is no {name}; {choices(name, map(str, known))}")
            node = node[name]
        if not equals or not isinstance(node, dict):
            raise InputError(f"{word}: must be KEY=VALUE, such as operators.detect.max_batch=4")
        try:
            node[last] = parsed(text, Path("the command line"))
        except InputError:
            raise
        except (ValueError, RecursionError, YAMLError) as error:
            raise InputError(f"{word}: is not a value in YAML: {why_not_yaml(error)}") from None
    return changed


def build_pipeline(tree: Mapping[str, Any]) -> Pipeline:
    """Make a pipeline from the content of its file; raise InputError if something is wrong."""
    for key in tree:
        if key not in KEYS:
            raise InputError(f"{key}: a pipeline has no such key; {choices(str(key), KEYS)}")
    for key in KEYS:
        if key not in tree:
            raise InputError(f"{key}: is missing; a pipeline has the keys {', '.join(KEYS)}")
    name = tree["name"]
    if not is_name(name):
        raise InputError(f"name={shown(name)}: must have lower-case letters, digits and _ only")
    nodes = tree["operators"]
    if not isinstance(nodes, dict) or not nodes:
        raise InputError("operators: must be a mapping with at least one operator by its name")
    stages = {each: _stage(each, node) for each, node in nodes.items()}
    return Pipeline(name, build(tree["payloads"], "payloads", Payloads), stages, tree)


def _stage(name: Any, node: Any) -> Stage:
    key = f"operators.{name}"
    check_operator(key, name)
    if not isinstance(node, dict) or "operator" not in node:
        raise InputError(f"{key}.operator: is missing; name its class by {key}.operator._target_")
    path = f"{Stage.__module__}.{Stage.__qualname__}"
    stage: Stage = build({**node, "_target_": path}, key, Stage)
    return stage


def is_name(value: object) -> bool:
    """Return whether a value can be the name of a pipeline or an operator, and so of a file."""
    return isinstance(value, str) and fullmatch(NAME, value) is not None


def check_operator(key: str, name: object) -> None:
    """Raise InputError if a value cannot be the name of an operator, and so of columns."""
    if not is_name(name):
        raise InputError(
            f"{key}: a name must have lower-case letters, digits and _ only, and begin with a "
            "letter"
        )
    if name == ANSWER:
        raise InputError(f"{key}: tables call the way of the answer so; choose another name")


def operator_name(text: str) -> str:
    """Return a name of another tool as the name of an operator: lower-case letters, digits, _."""
    name = sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if is_name(name) and name != ANSWER else f"op_{name}"


def why(error: BaseException) -> str:
    """Return an exception of an operator in one line, with its class."""
    return f"{type(error).__name__}: {one_line(error)}"
