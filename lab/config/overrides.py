"""What overrides say beyond single keys: swept values, repeated keys, mappings set whole.

Files of the user's own are in a directory that is searched before those of the package.
"""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.common.errors import InputError, key_of, no_directory, shown
from lab.config.messages import OF_ONE, composition_sentence, digit_part
from lab.config.settings import OPEN_MAPPINGS

SEARCH_PATH = "hydra.searchpath"


def readable(override: str) -> str:
    """Return an override as Hydra can read it: ``+a={5G:1}`` for ``a.5G=1``, or else as it is.

    Hydra's grammar refuses parts of keys that begin with a digit, but takes them in mappings. A
    sweep becomes one of mappings. By the plus, a mapping keeps its other entries.
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
    """Return a sweep's values (no interval), as written; InputError for none or a repeated one."""
    values = [f"{value!s}" for value in override.sweep_string_iterator()]
    if not values:
        raise InputError(f"{written}: names no value")
    if twice := repeated(values):
        raise InputError(f"{written}: names {twice[0]} twice")
    return values


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def repeated_keys(overrides: Sequence[str]) -> list[str]:
    """Return one sentence for each key that is set again later, so that its last value holds.

    Additions by ``+`` and mappings do not count, because they are merged.
    Raises InputError if a sweep of the key would be lost.
    """
    sentences = []
    setting = [one for one in overrides if not one.startswith(("+", "~")) and "={" not in one]
    for key in repeated(one.partition("=")[0] for one in setting):
        written = [one for one in setting if one.partition("=")[0] == key]
        parsed = OverridesParser.create().parse_overrides(written)
        if any(one.is_sweep_override() for one in parsed[:-1]):
            raise InputError(f"{' '.join(written)}: {key} is swept; name all its values in one")
        if len(set(written)) > 1:
            sentences.append(f"{' '.join(written)}: {key} is set more than once; the last holds")
    return sentences


def check_one_planner(overrides: Sequence[Override]) -> None:
    """Refuse a list of planners, which Hydra merges into one."""
    for override in overrides:
        value = override.value()
        if override.key_or_group == "planner" and isinstance(value, list):
            raise InputError(
                f"planner={shown(value)}: must be one name; write -m planner=a,b for a sweep, or "
                "planner=comparison for several on the same world"
            )


def check_alone(overrides: Sequence[Override]) -> None:
    """Refuse planners to compare where one planner runs alone: they would be ignored."""
    for override in overrides:
        place = override.package or override.key_or_group
        if (
            f"{place}.".startswith("planner.compare.")
            and not override.is_delete()
            and override.value() not in (None, {})
        ):
            raise InputError(f"{override.input_line}: {OF_ONE}")


def replace_whole_mappings(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Apply overrides that replace a whole mapping, which Hydra would merge with the present one.

    These empty any mapping (``cluster.nodes={}``) or set an open one
    (``network.technologies={WiFi: 1}``); with a ``+``, the merge stays. Later ones of entries stay.
    """
    for number, override in enumerate(overrides):
        key, value = override.key_or_group, override.value()
        anew = value == {} or (key in OPEN_MAPPINGS and not override.is_add())
        if anew and isinstance(value, dict) and OmegaConf.select(config, key) is not None:
            _fill_anew(config, key, overrides[number:])


def _fill_anew(config: DictConfig, key: str, later: Sequence[Override]) -> None:
    """Empty a mapping of all but what these overrides put into it, anew and in their order."""
    chosen = [one.package for one in later if one.package and one.package.startswith(f"{key}.")]
    kept = {place: OmegaConf.select(config, place) for place in chosen}
    node = OmegaConf.select(config, key)
    for name in list(node):
        del node[name]
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
    """Return a tool's overrides, after one for ``--config-dir``; InputError for keys of Hydra."""
    for word in options.overrides:
        refuse_hydra(word, "nothing of it has a meaning here; name your own files by --config-dir")
    if options.config_dir is None:
        return list(options.overrides)
    path = check_directory(options.config_dir)
    return [f"{SEARCH_PATH}=['file://{path.resolve()}']", *options.overrides]


def check_directory(given: str) -> Path:
    """Return the path of a directory of configuration files; raise InputError if it is missing."""
    path = Path(given)
    if not path.is_dir():
        raise InputError(f"--config-dir={given}: {no_directory(path)}")
    return path


def question_of(tool: str, options: Namespace) -> list[str]:
    """Return the words of a command line that ask a tool the same what-if question."""
    where = [] if options.config_dir is None else ["--config-dir", str(options.config_dir)]
    varied = [word for each in options.vary for word in ("--vary", each)]
    return ["compass-lab", tool, *where, *options.overrides, *varied, "--metric", options.metric]


def refuse_hydra(override: str, advice: str) -> None:
    """Refuse an override of Hydra's keys except its search path; raise InputError with advice."""
    key = key_of(override)
    if key.startswith(("hydra.", "hydra/")) and key != SEARCH_PATH:
        raise InputError(f"{override}: Hydra's own keys are for compass-sim; {advice}")
