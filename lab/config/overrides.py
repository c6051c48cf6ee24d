"""Handles overrides that do more than set one key: sweeps, repeated keys, whole mappings.

Hydra searches the user's directory of configuration files before that of the package.
"""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.common.errors import InputError, key_of, no_directory, shown
from lab.config.messages import OF_ONE, composition_sentence, digit_part
from lab.config.settings import ENTRIES, OPEN_MAPPINGS
from lab.config.trust import KEY, OPTION, allow_import

SEARCH_PATH = "hydra.searchpath"
MOST_JOBS = 100_000
"""Largest number of jobs of a sweep, and so of values of a key."""


def readable(override: str) -> str:
    """Return an override in a form that Hydra can parse: ``a.5G=1`` becomes ``+a={5G:1}``.

    Hydra's grammar allows a part of a key that begins with a digit only inside a mapping. Overrides
    without such a part are returned unchanged. A sweep becomes a sweep of mappings. The plus keeps
    the other entries of the mapping.
    """
    key, _, value = override.partition("=")
    parts = key.lstrip("+").split(".")
    at = digit_part(parts)
    if not (at and value) or key.startswith(("~", "-")) or {"@", "/"} & set(key):
        return override
    try:
        parsed = OverridesParser.create().parse_override(f"value={value}")
    except HydraException:
        return override
    swept = parsed.is_discrete_sweep()
    values = list(map(str, parsed.sweep_string_iterator())) if swept else [value]
    for part in reversed(parts[at:]):
        values = [f"{{{part}:{one}}}" for one in values]
    return f"+{'.'.join(parts[:at])}={','.join(values)}"


def swept_values(override: Override, written: str) -> list[str]:
    """Return a sweep's values as written; raise InputError if it is empty or repeats a value."""
    values = [f"{value!s}" for value in islice(override.sweep_string_iterator(), MOST_JOBS + 1)]
    if len(values) > MOST_JOBS:
        raise InputError(f"{written}: has more than {MOST_JOBS:,} values")
    if not values:
        raise InputError(f"{written}: has no value")
    if twice := repeated(values):
        raise InputError(f"{written}: has the value {twice[0]} twice")
    return values


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def repeated_keys(overrides: Sequence[str]) -> list[str]:
    """Return one sentence for each key that is set several times; its last value is used.

    Overrides with ``+`` or by mappings do not count, because Hydra merges them. Raises InputError
    if an earlier setting of the key is a sweep.
    """
    sentences = []
    setting = [one for one in overrides if not one.startswith(("+", "~")) and "={" not in one]
    for key in repeated(one.partition("=")[0] for one in setting):
        written = [one for one in setting if one.partition("=")[0] == key]
        parsed = OverridesParser.create().parse_overrides(written)
        if any(one.is_sweep_override() for one in parsed[:-1]):
            raise InputError(f"{' '.join(written)}: {key} is swept; give all values in one sweep")
        if len(set(written)) > 1:
            sentences.append(f"{' '.join(written)}: {key} is set several times; the last one wins")
    return sentences


def check_one_planner(overrides: Sequence[Override]) -> None:
    """Raise InputError for a list of planners, which Hydra would merge into one."""
    for override in overrides:
        value = override.value()
        if override.key_or_group == "planner" and isinstance(value, list):
            raise InputError(
                f"planner={shown(value)}: must be one name; write -m planner=a,b for a sweep, or "
                "planner=comparison to compare several in the same world"
            )


def check_alone(overrides: Sequence[Override]) -> None:
    """Raise InputError for overrides of compared planners if a single planner is chosen."""
    for override in overrides:
        place = override.package or override.key_or_group
        if (
            f"{place}.".startswith("planner.compare.")
            and not override.is_delete()
            and override.value() not in (None, {})
        ):
            raise InputError(f"{override.input_line}: {OF_ONE}")


def replace_whole_mappings(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Apply overrides that replace a whole mapping; Hydra would merge them into it.

    Such an override empties a mapping (``cluster.nodes={}``) or sets one of `OPEN_MAPPINGS`
    (``network.technologies={WiFi: 1}``). Overrides with ``+`` are merged instead. Later overrides
    apply to the new mapping.
    """
    for number, override in enumerate(overrides):
        key, value = override.key_or_group, override.value()
        replaces = value == {} or (key in OPEN_MAPPINGS and not override.is_add())
        if replaces and isinstance(value, dict) and OmegaConf.select(config, key) is not None:
            if key.rpartition(".")[0] in ENTRIES:
                raise InputError(f"{key}={{}}: must not be empty; write ~{key} to remove it")
            _refill(config, key, overrides[number:])


def _refill(config: DictConfig, key: str, later: Sequence[Override]) -> None:
    """Empty a mapping, then apply the later overrides to it in their order."""
    chosen = [one.package for one in later if one.package and one.package.startswith(f"{key}.")]
    kept = {place: OmegaConf.select(config, place) for place in chosen}
    node = OmegaConf.select(config, key)
    for name in list(node):
        try:
            del node[name]
        except OmegaConfBaseException:  # A node of a cluster, for example.
            raise InputError(
                f"{key}={{}}: its keys are fixed; set single ones, such as {key}.{name}=VALUE"
            ) from None
    for place, node in kept.items():  # Hydra chooses from groups before it sets values.
        OmegaConf.update(config, place, node, merge=False)
    for one in later:
        place, value = one.key_or_group, one.value()
        within = f"{place}.".startswith(f"{key}.")
        around = isinstance(value, dict) and key.startswith(f"{place}.")
        if one.package or not (within or around):
            continue
        try:
            if not one.is_delete():
                OmegaConf.update(config, place, value, merge=True)
            elif OmegaConf.select(config, place) is not None:
                above, _, name = place.rpartition(".")
                del OmegaConf.select(config, above)[name]
        except OmegaConfBaseException as error:
            raise InputError(composition_sentence(error, [str(one.input_line)])) from None


def overrides_of(options: Namespace) -> list[str]:
    """Return a tool's overrides, including those of its options; refuse Hydra's own keys."""
    for word in options.overrides:
        refuse_hydra(word, "use --config-dir for files of your own")
    given = [allow_import(modules) for modules in options.allow_import]
    if options.config_dir is not None:
        path = check_directory(options.config_dir)
        given.append(f"{SEARCH_PATH}=['file://{path.resolve()}']")
    return [*given, *options.overrides]


def check_directory(given: str) -> Path:
    """Return the path of a directory of configuration files; raise InputError if it is missing."""
    path = Path(given)
    if not path.is_dir():
        raise InputError(f"--config-dir={given}: {no_directory(path)}")
    return path


def question_of(tool: str, options: Namespace) -> list[str]:
    """Return the command line that asks a tool the same what-if question."""
    where = [] if options.config_dir is None else ["--config-dir", str(options.config_dir)]
    where += [word for each in options.allow_import for word in (OPTION, each)]
    varied = [word for each in options.vary for word in ("--vary", each)]
    return ["compass-lab", tool, *where, *options.overrides, *varied, "--metric", options.metric]


def refuse_hydra(override: str, advice: str) -> None:
    """Raise InputError with advice for an override of Hydra's keys, except those about files."""
    key = key_of(override)
    if key.startswith(("hydra.", "hydra/")) and key not in (SEARCH_PATH, KEY):
        raise InputError(f"{override}: Hydra's own keys work in compass-sim only; {advice}")
