"""Errors that end in one sentence: the key, the value, what is allowed, the nearest name."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hardware_models.errors import nearest
from lab.common.options import groups, in_folders
from lab.common.units import unit_of
from scenarios.drift import DriftEvent
from scenarios.slo import Tier

OF_COMPARED = (
    "several planners are compared, whose own keys are under planner.compare.NAME; write "
    "planner.compare.NAME.KEY=VALUE, or choose one planner by planner=NAME"
)
COMPOSING = ("hydra", "omegaconf", "antlr4", "yaml")
"""Packages whose exceptions speak of the configuration, not of a fault of ours."""
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\.[A-Z]\w*")
"""What looks like the dotted name of a class."""
TYPE_NAMES = {"Float": "a number", "Integer": "a whole number", "bool": "true or false"}


class InputError(ValueError):
    """Something in the input is wrong; the message is one sentence for the user."""


def nearest_clause(name: str, known: Iterable[str]) -> str:
    """Return ``"; the nearest is 'x'"`` for the likeliest of the known names, or nothing."""
    best = nearest(name, known)
    return f"; the nearest is {best!r}" if best is not None else ""


def choices(name: str, known: Iterable[str]) -> str:
    """Return the known names as a clause, with the nearest one."""
    names = list(known)
    return f"choose one of {', '.join(names)}{nearest_clause(name, names)}"


def check_png(option: str, path: Path) -> None:
    """Check that the name of a picture that is to be written says what it will be, a PNG.

    Args:
        option: how the user named it, such as ``--figure``.
        path: its path.

    Raises:
        InputError: it has another suffix, or none.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{option}={path}: must end in .png, for a PNG is written")


def no_directory(path: Path) -> str:
    """Say that there is no such directory, and which one beside its name was probably meant.

    Args:
        path: a path at which nothing is; a directory above it may be missing, too.
    """
    missing = path
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    try:
        beside = sorted(one.name for one in missing.parent.iterdir() if one.is_dir())
    except OSError:
        beside = []
    near = nearest(missing.name, (name for name in beside if not name.startswith(".")))
    if near is None or not get_close_matches(missing.name.lower(), [near.lower()]):
        return "no such directory"
    meant = missing.with_name(near)
    below = meant / path.relative_to(missing)
    return f"no such directory; did you mean {below if below.is_dir() else meant}?"


def one_line(error: object) -> str:
    """Return a message without line breaks and without a full stop at its end."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def why_not(error: OSError) -> str:
    """Return why a file cannot be read or written, and which one if that is known."""
    reason = error.strerror or one_line(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def shown(value: object) -> str:
    """Return a value as YAML writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def raised_by(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Tell whether an exception is of one of these packages, or was raised by their code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return any(name.split(".")[0] in packages for name in (type(error).__module__, where))


def composition_sentence(error: Exception, overrides: Sequence[str] = ()) -> str:
    """Turn what Hydra or OmegaConf raised into one sentence.

    Args:
        error: the exception, with its causes.
        overrides: what the user wrote, to be shown as written.
    """
    for cause in _chain(error):
        if sentence := _sentence(cause, overrides):
            return sentence
    if sentence := _without_key(str(error), overrides):
        return sentence
    interpolated = [one for one in overrides if "${" in one]
    return f"{interpolated[0]}: {one_line(error)}" if interpolated else one_line(error)


def _without_key(message: str, overrides: Sequence[str]) -> str | None:
    """Return what Hydra's message comes to, of which no exception names a key, if it is known."""
    first = message.partition("\n")[0]
    if "--multirun" in message:
        return f"{first}: add -m to run every value"
    if "@experiment." in first:
        return _unpackaged(overrides)
    if chosen := re.match(r"Multiple values for (\S+)\. ", first):
        return _chosen_already(chosen[1], overrides)
    if found := re.match(r"In '(\S+)': .*Cannot merge DictConfig with ListConfig", message, re.S):
        return (
            f"{found[1]}: there is a mapping where a list must be, or a list where a mapping must "
            "be; each entry of a list begins with '- '"
        )
    if first.startswith("Config group override must be"):
        return _no_option(overrides)
    return None


def _sentence(cause: BaseException, overrides: Sequence[str]) -> str | None:
    """Return what one exception says of the input, or None if it does not name a key."""
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError

    if isinstance(cause, InputError):
        return str(cause)
    if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
        return _missing_file(str(cause.missing_cfg_file), cause.options or [], overrides)
    if isinstance(cause, MarkedYAMLError):
        mark = cause.problem_mark or cause.context_mark
        where = "" if mark is None else f"{mark.name}, line {mark.line + 1}: "
        return f"{where}not valid YAML ({one_line(cause.problem)})"
    if isinstance(cause, OverrideParseException):
        return _unparsed(cause)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _wrong_key(cause, overrides)
    return None


def _unparsed(cause: Any) -> str:
    """Say why Hydra cannot read an override."""
    reason = str(cause).split("\nSee ", maxsplit=1)[0]
    reason = one_line(reason.removeprefix(f"Error parsing override '{cause.override}'"))
    foreign = [letter for letter in cause.override if not letter.isascii()]
    if foreign and reason.startswith("Lexer"):
        return (
            f"{cause.override}: what has {foreign[0]!r} in it, such as a path, must stand in "
            "quotes of its own within those of the shell: 'KEY=\"VALUE\"'"
        )
    return f"{cause.override}: not a valid override ({reason}); write key=value"


def _wrong_key(cause: Any, overrides: Sequence[str]) -> str:
    """Say what is wrong with a key or its value, from an exception of OmegaConf's."""
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        if cause.full_key == "experiment":  # There is such a group, but no such key.
            return _unpackaged(overrides)
        parent = cause.parent_node
        known = [str(key) for key in parent] if parent is not None else []
        full_key = str(cause.full_key)
        if cause.object_type is DriftEvent and full_key == cause.key:
            # Entries of lists are checked by themselves.
            full_key = f"drift.events{_event_with(full_key, overrides)}.{full_key}"
        return unknown_key(full_key, str(cause.key), known, overrides)
    if isinstance(cause, ValidationError):
        if "is not a subclass" in str(cause.msg):
            return _unknown_entry(cause, overrides)
        written = f"{cause.full_key}={shown(cause.value)}"
        if cause.value is None and "is not Optional" not in str(cause.msg):
            written = _written(str(cause.full_key), overrides)
        return f"{written}: {_wanted(str(cause.msg), str(cause.full_key))}"
    if str(cause.msg).startswith("Cannot merge DictConfig with ListConfig"):
        wanted, given = "mapping, such as {NAME: ...}", "list"
        if cause.object_type is list:
            wanted, given = "list, such as [...]", "mapping"
        written = _written(str(cause.full_key), overrides)
        return f"{written}: must be a {wanted}, not a {given}{_entry(str(cause.msg))}"
    return f"{cause.full_key}: {one_line(str(cause.msg).splitlines()[0])}"


def _event_with(key: str, overrides: Sequence[str]) -> str:
    """Return the index of the event that has a key, after a point; ``[]`` if a file lists it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for override in overrides:
        if key_of(override) == "drift.events":
            events = OverridesParser.create().parse_override(override).value()
            for number, event in enumerate(events if isinstance(events, list) else []):
                if isinstance(event, dict) and key in event:
                    return f".{number}"
    return "[]"


def _entry(message: str) -> str:
    """Return a clause with the keys of the entries that OmegaConf complains of, if known."""
    # Not before: these bring the tables along, which takes a second or more.
    from scenarios.cluster import Node
    from scenarios.link_traces import LinkTrace

    found = re.search(r"subclass of (\w+)|(?:Dict\[str, |List\[)(\w+)\]", message)
    kinds = {kind.__name__: kind for kind in (Tier, Node, LinkTrace, DriftEvent)}
    kind = kinds.get(found[1] or found[2]) if found else None
    return f"; each entry has {', '.join(one.name for one in fields(kind))}" if kind else ""


def _unknown_entry(cause: Any, overrides: Sequence[str]) -> str:
    """Say that a mapping has no such entry, part of which an override wants to set."""
    entry = str(cause.full_key)  # without what is above it, for it is of no tree yet
    for override in overrides:
        above, found, _ = f"{key_of(override)}.".rpartition(f".{entry}.")
        if found:
            return unknown_key(f"{above}.{entry}", entry, [], [override])
    written = _written(entry, overrides)
    return f"{written}: must be a mapping, such as {{key: value}}{_entry(str(cause.msg))}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what led to it."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _missing_file(path: str, options: Iterable[str], overrides: Sequence[str]) -> str:
    group, _, name = path.rpartition("/")
    above, _, folder = group.rpartition("/")
    if above in groups():  # An option in a folder of a group.
        group, name = above, f"{folder}/{name}"
    if path == "hydra/launcher/ray":
        return "hydra/launcher=ray: is not installed; pip install 'compass-sim[ray]'"
    if group == "hydra/launcher":
        options = dict.fromkeys([*options, "ray"])  # which may not be installed
    own = ""
    if group in ("planner", "application", "data_plane") and DOTTED.fullmatch(name):
        places = [_place(one) for one in overrides if one.endswith(f"={name}")]
        place = places[0] if places else group
        plus = "+" if place.startswith("planner.compare.") else ""
        own = f"; to name a class of your own, write {plus}{place}._target_={name}"
    inside = in_folders(group) if group in groups() else []
    if moved := [option for option in inside if option.rpartition("/")[2] == name]:
        return f"{group}={name}: there is no such {group}; it is {group}={moved[0]}"
    if inside:
        first = inside[0].partition("/")[0]
        names = [*options, f"{first}/NAME (compass-lab list names them)"]
        close = nearest_clause(name, [*options, *inside])
        return f"{group}={name}: there is no such {group}; choose one of {', '.join(names)}{close}"
    return f"{group}={name}: there is no such {group}; {choices(name, options)}{own}"


def _place(override: str) -> str:
    """Return where in the configuration an override puts what it chooses."""
    return override.lstrip("+~").partition("=")[0].rpartition("@")[2]


def _unpackaged(overrides: Sequence[str]) -> str:
    """Say that the file of an experiment lacks what puts its keys at the top of the tree."""
    names = [one for one in overrides if key_of(one) == "experiment"]
    return (
        f"{names[-1] if names else 'experiment'}: all that the file says is put below the key "
        "experiment; let the file begin with the line '# @package _global_'"
    )


def _chosen_already(group: str, overrides: Sequence[str]) -> str:
    """Say that a group has an option already, which a plus before it would choose once more."""
    added = [one for one in overrides if one.startswith(f"+{group}=")]
    written = added[-1] if added else f"+{group}=..."
    return f"{written}: {group} is in the configuration; write {written[1:]}, without the plus"


def _no_option(overrides: Sequence[str]) -> str:
    """Find the group that was set to something else than a name."""
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        names = groups().get(group, [])
        if names and value not in names:
            return f"{group}={value}: must be a name; {choices(value, names)}"
    return "a group of the configuration must be set to a name, such as cluster=small"


def unknown_key(full_key: str, key: str, known: list[str], overrides: Sequence[str]) -> str:
    """Say that there is no such key, and which there are, if any are known."""
    parent = full_key.rpartition(".")[0]
    if "horizon_s" in known:  # the top of the tree
        known = [*(name for name in known if name != "hydra"), "experiment"]
    names = [name for name in known if not name.startswith("_")]
    where = f"{parent} has" if parent else "there are"
    allowed = f"; {where} {', '.join(names)}" if names else ""
    hint = ""
    if parent == "planner" and "compare" in names:
        written = _written(full_key, overrides)
        targets = [one for one in overrides if key_of(one) == "planner._target_"]
        if targets and not targets[-1].endswith("=null"):
            own = written.lstrip("+") if key_of(written) == full_key else f"{full_key}=..."
            return (
                f"{written}: there is no key {full_key}; to pass a parameter of your own class, "
                f"write +{own}"
            )
        return f"{written}: {OF_COMPARED}"
    if ".tiers." in parent:
        names = [each.name for each in fields(Tier)]
        allowed = f"; a tier has {', '.join(names)}"
        hint = f"; to add it, write +{full_key}=..." if key in names else ""
    elif parent.startswith(("planner", "application", "workload.arrivals", "data_plane")):
        hint = f"; to pass a parameter of your own class, write +{full_key}=..."
    elif parent.endswith(("nodes", "tiers", "datasets", "devices", "technologies", "traces")):
        hint = f"; to add one, write '+{parent}={{{key}: ...}}'"
        if parent == "workload.tiers":
            hint += "; those of the application are application.tiers"
    written = _written(full_key, overrides)
    return f"{written}: there is no key {full_key}{allowed}{nearest_clause(key, names)}{hint}"


def key_of(override: str) -> str:
    """Return the key that an override speaks of."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _written(full_key: str, overrides: Sequence[str]) -> str:
    """Return the override that speaks of a key, as the user wrote it, or else the key."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key == full_key or key.startswith(f"{full_key}.") or key.endswith(f".{full_key}"):
            return override
        if f"{full_key}:" in override:
            return override
    return full_key


def _wanted(message: str, full_key: str) -> str:
    """Say what is allowed, from OmegaConf's complaint of a key."""
    first = message.splitlines()[0]
    unit = unit_of(full_key)
    for name, words in TYPE_NAMES.items():
        if re.search(rf"could not be converted to {name}$|is not a valid {name} ", first):
            return f"must be {words}, in {unit}" if unit else f"must be {words}"
    if "is not Optional" in first:
        return "must not be null"
    if "is not a ListConfig" in first:
        return "must be a list, such as []"
    if first.startswith("Cannot assign"):
        return f"must be a mapping, such as {{key: value}} ({one_line(first)})"
    return one_line(first)
