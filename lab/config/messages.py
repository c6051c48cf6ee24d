"""Turns errors of Hydra and OmegaConf into one sentence: key, value, what is allowed."""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from hardware_models.errors import did_you_mean
from lab.common.errors import InputError, choices, key_of, one_line, shown
from lab.common.options import groups, in_folders
from scenarios.slo import Tier

OF_COMPARED = (
    "several planners are compared, and each has its keys under planner.compare.NAME; write "
    "planner.compare.NAME.KEY=VALUE, or choose one planner by planner=NAME"
)
OF_ONE = (
    "one planner is chosen, by planner= or planner._target_=, so nothing is compared; choose "
    "planner=comparison, without planner._target_"
)
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\.[A-Z]\w*")
"""A text that looks like the dotted name of a class."""
PLUGINS = {
    "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/ray": "'compass-sim[ray]'",
    "hydra/sweeper/ax": "hydra-ax-sweeper",
    "hydra/sweeper/nevergrad": "hydra-nevergrad-sweeper",
    "hydra/sweeper/optuna": "hydra-optuna-sweeper",
}
"""Optional packages of launchers and sweepers, by the names that pip uses."""
OF_PARSER = re.compile("Lexer|no viable|mismatched|extraneous|missing|token recognition", re.I)
"""The beginnings of what Hydra's parser says in the words of its grammar."""
DEFAULTS_LIST = "hydra._internal.defaults_list"
DEEP = 50
"""Number of calls in the module of defaults lists from which on these lists are circular."""
FILES_OF_HYDRA = "hydra._internal.core_plugins.file_config_source"
HYDRA_TYPES = {"Float": "a number", "Integer": "a whole number", "bool": "true or false"}
"""Types of Hydra's own keys, by OmegaConf's names for them."""

DIGITS = re.compile(r"[\d_]{600,}")
"""A number that can have more digits than Python reads."""


def composition_sentence(error: Exception, overrides: Sequence[str] = ()) -> str:
    """Return one sentence for an exception of Hydra or OmegaConf; it quotes the override."""
    if isinstance(error, RecursionError | UnicodeDecodeError):
        return _wrong_file(error)
    if sentence := _nameless(overrides) or _of_causes(error, overrides):
        return sentence
    if sentence := _without_key(str(error), overrides):
        return sentence
    if FILES_OF_HYDRA in _way_to(error)[0]:
        return _wrong_file(error)
    if long := [one for one in overrides if "integer string" in str(error) and DIGITS.search(one)]:
        most = sys.get_int_max_str_digits()
        return f"{key_of(long[0])}: a whole number can have at most {most:,} digits"
    computed = [one for one in overrides if "${" in one or "range(" in one]
    return f"{computed[0]}: {one_line(error)}" if computed else one_line(error)


def _nameless(overrides: Sequence[str]) -> str | None:
    """Return a sentence on the first override without a key; None if there is none."""
    found = [one.strip() for one in overrides if not key_of(one).strip()]
    return f"{found[0] or 'an empty word'}: has no key; write key=value" if found else None


def _of_causes(error: BaseException | None, overrides: Sequence[str]) -> str | None:
    """Return a sentence for the first exception of a chain that is about the input, or None."""
    while error is not None:
        if sentence := _sentence(error, overrides):
            return sentence
        error = error.__cause__ or error.__context__
    return None


def _wrong_file(error: Exception) -> str:
    """Return a sentence on a file that Hydra cannot read."""
    modules, file = _way_to(error)
    if not isinstance(error, RecursionError):
        return f"{file}: cannot be read as YAML in UTF-8 ({one_line(error)})"
    if modules.count(DEFAULTS_LIST) < DEEP:
        return f"{file}: a value contains itself, or its mappings and lists are nested too deeply"
    return (
        "defaults: the list of a configuration file refers to itself; an experiment that "
        "builds on another one names it as `- speech_small`, without a group"
    )


def _way_to(error: Exception) -> tuple[list[str], str]:
    """Return the modules that an exception came through, and the file that Hydra was reading."""
    modules, file = list[str](), "a configuration file"
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        modules.append(str(frame.f_globals.get("__name__")))
        # Hydra does not name the file in its exceptions.
        if modules[-1] == FILES_OF_HYDRA and "full_path" in frame.f_locals:
            file = str(frame.f_locals["full_path"])
    return modules, file


def unknown_key(full_key: str, key: str, known: list[str], overrides: Sequence[str]) -> str:
    """Return a sentence saying that a key does not exist, with the known keys."""
    from lab.config.settings import Settings, defaults

    if full_key == "experiment":  # A group has this name, but no key has it.
        return _unpackaged(overrides)
    if "." in key:
        first, _, rest = key.partition(".")
        return f"{key}: a file nests its keys; write {first}: and, indented below it, {rest}: ..."
    parent, likely = full_key.rpartition(".")[0], [key] if key in groups() else []
    if "horizon_s" in known:  # the top of the tree
        known = [name for name in known if name != "hydra"]
        known += [name for name in groups() if name not in known]
        sections = ((name, one) for name, one in defaults(Settings).items() if name in known)
        likely = [f"{name}.{key}" for name, one in sections if isinstance(one, dict) and key in one]
    names = [name for name in known if not name.startswith("_")]
    where = f"{parent} has" if parent else "there are"
    allowed = f"; {where} {', '.join(names)}" if names else ""
    hint = ""
    override = written(full_key, overrides)
    if parent == "planner" and "compare" in names:
        targets = [one for one in overrides if key_of(one) == "planner._target_"]
        if targets and not targets[-1].endswith("=null"):
            own = override.lstrip("+") if key_of(override) == full_key else f"{full_key}=..."
            return (
                f"{override}: there is no key {full_key}; to pass a parameter of your own class, "
                f"write +{own}"
            )
        return f"{override}: {OF_COMPARED}"
    if full_key == "planner.compare":
        return f"{override}: {OF_ONE}"
    if ".tiers." in parent:
        names = [each.name for each in fields(Tier)]
        allowed = f"; a tier has {', '.join(names)}"
        hint = f"; to add it, write +{full_key}=..." if key in names else ""
    elif parent.endswith(("nodes", "tiers", "datasets", "devices", "technologies", "traces")):
        hint = f"; to add one, write '+{parent}={{{key}: ...}}'"
        if parent == "workload.tiers":
            hint += "; the application's own tiers are application.tiers"
    elif parent.startswith(("planner", "application", "workload.arrivals", "data_plane")):
        hint = f"; to pass a parameter of your own class, write +{full_key}=..."
    near = did_you_mean(key, [*likely, *names])
    return f"{override}: there is no key {full_key}{allowed}{hint}{near}"


def written(full_key: str, overrides: Sequence[str]) -> str:
    """Return the override that sets a key, as the user wrote it, or else the key."""
    for override in sorted(overrides, key=lambda one: key_of(one) != full_key):
        key = override.lstrip("+~").partition("=")[0]
        if key == full_key or key.startswith(f"{full_key}.") or key.endswith(f".{full_key}"):
            return override
        if f"{full_key}:" in override:
            return override
    return full_key


def _sentence(cause: BaseException, overrides: Sequence[str]) -> str | None:
    """Return a sentence for one exception of a chain; None if it is not about the input."""
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


def _without_key(message: str, overrides: Sequence[str]) -> str | None:
    """Return a sentence for a message of Hydra without a key; None if the message is unknown."""
    first = message.partition("\n")[0]
    if "@experiment." in first:
        return _unpackaged(overrides)
    if sentence := _wrong_value(first, overrides) or _wrong_defaults(first, overrides):
        return sentence
    if found := re.match(r"In '(\S+)': .*Cannot merge DictConfig with ListConfig", message, re.S):
        return (
            f"{found[1]}: a list is given instead of a mapping, or a mapping instead of a list; "
            "each entry of a list begins with '- '"
        )
    if first.startswith("Config group override must be"):
        return _no_option(overrides)
    return None


def _wrong_value(first: str, overrides: Sequence[str]) -> str | None:
    """Return a sentence on a wrong value; None if the first line of the message is unknown."""
    if several := re.match("(?:Ambiguous value for arg|Sweep param).* '(.*)'", first):
        return f"{several[1]}: several values; add -m to run every value"
    if "INTERVAL_SWEEP" in first:
        given = next(one for one in overrides if "interval(" in one)
        return f"{given}: an interval is for a sweeper that searches; write {key_of(given)}=1,2"
    if missing := re.fullmatch("Interpolation key '(.*)' not found", first):
        where = next((one for one in overrides if "${" in one), f"${{{missing[1]}}}")
        return f"{where}: there is no key {missing[1]} to take a value from"
    return None


def _wrong_defaults(first: str, overrides: Sequence[str]) -> str | None:
    """Return a sentence on a wrong defaults list; None if the message's first line is unknown."""
    inside = re.search(r"\bin '?(\w+/[\w/]+)", first, re.IGNORECASE)
    where = f"{inside[1]}.yaml" if inside else _experiment(overrides)
    if found := re.search(r"Could not override '([^'@]+)", first):
        group, known = found[1], [f"/{name}" for name in groups()]
        near = did_you_mean(f"/{group.rpartition('/')[2]}", known)
        return f"{where}: defaults: override {group}: choose one of {', '.join(known)}{near}"
    if found := re.match(r"Multiple values for (\S+)\. ", first):
        group = found[1]
        if added := [one for one in overrides if one.startswith(f"+{group}=")]:
            plain = added[0].removeprefix("+")
            return f"{added[0]}: {group} is in the configuration; write {plain}, without the plus"
        return f"{where}: defaults: {group} is chosen already; write '- override /{group}: NAME'"
    if re.search(r"in defaults\b|defaults list in|in default item|group name in|_self_ def", first):
        return (
            f"{where}: defaults: must be a list, each entry a name or one pair, and none twice, "
            "such as '- speech_small' or '- override /planner: greedy'"
        )
    return None


def _unparsed(cause: Any) -> str:
    reason = str(cause).split("\nSee ", maxsplit=1)[0]
    reason = one_line(reason.removeprefix(f"Error parsing override '{cause.override}'"))
    foreign = [letter for letter in cause.override if not letter.isascii()]
    if foreign and reason.startswith("Lexer"):
        return (
            f"{cause.override}: a value with {foreign[0]!r} in it needs quotes of its own within "
            "those of the shell: 'KEY=\"VALUE\"'"
        )
    parts = (key := key_of(cause.override)).split(".")
    if at := digit_part(parts):
        return (
            f"{cause.override}: {parts[at]} begins with a digit, so this key can be set, as in "
            f"{key}=1, but not removed; to leave it out, set the whole mapping: "
            f"'{'.'.join(parts[:at])}={{NAME: 1, OTHER: 2}}'"
        )
    return f"{cause.override}: not a valid override{_slip(cause.override, reason)}; write key=value"


def _slip(override: str, reason: str) -> str:
    """Return what is wrong with an override that Hydra cannot parse; empty if it is no pair."""
    _, equals, value = override.partition("=")
    if not equals:
        return ""
    for pair in ("()", "[]", "{}"):
        if value.count(pair[0]) != value.count(pair[1]):
            return f" (its {pair[0]} and {pair[1]} do not match)"
    for quote in "'\"":
        if value.replace(f"\\{quote}", "").count(quote) % 2:
            return f" (a quote {quote} is not closed)"
    if "expecting EQUAL" in reason:
        return " (its key has a character that is in no key)"
    if OF_PARSER.match(reason):
        return " (a value with other characters than letters, digits and -_./%+ needs quotes)"
    return f" ({reason})"


def digit_part(parts: Sequence[str]) -> int:
    """Return the index of a key's first part like ``5G``, which Hydra cannot parse; else 0."""
    found = (at for at, part in enumerate(parts) if part[:1].isdigit() and not part.isdecimal())
    return next(found, 0)


def _wrong_key(cause: Any, overrides: Sequence[str]) -> str:
    """Return a sentence on a wrong key or value, from an exception of OmegaConf."""
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

    from lab.config.allowed import allowed, type_at
    from lab.config.settings import Settings

    full_key = str(cause.full_key).replace("[", ".").replace("]", "")
    said, message = written(full_key, overrides), str(cause.msg).partition("\n")[0]
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        parent = cause.parent_node
        known = [str(key) for key in parent] if parent is not None else []
        return unknown_key(full_key, str(cause.key), known, overrides)
    if "is not a subclass" in message:  # This entry's key can lack its first parts.
        for override in overrides:
            above, found, _ = f"{key_of(override)}.".rpartition(f".{full_key}.")
            if found:
                return unknown_key(f"{above}.{full_key}", full_key, [], [override])
    for name, words in HYDRA_TYPES.items():
        if message.endswith(f"could not be converted to {name}") or f"valid {name} " in message:
            return f"{full_key}={shown(cause.value)}: must be {words}"
    if "out of range" in message:
        above, _, number = full_key.rpartition(".")
        wanted = allowed(type_at(Settings, above.split(".")), above)
        return f"{said}: there is no entry {number}; {above} must be {wanted}"
    hint, given = type_at(Settings, full_key.split(".")), ""
    if message.startswith("Cannot merge DictConfig with ListConfig"):
        kind, other = (list, "mapping") if cause.object_type is list else (dict, "list")
        hint, given = kind if hint is Any else hint, f", not a {other}"
    elif hint is Any or not isinstance(cause, ValidationError):
        return f"{full_key}: {one_line(message)}"
    return f"{said}: must be {allowed(hint, full_key)}{given}"


def _missing_file(path: str, options: Iterable[str], overrides: Sequence[str]) -> str:
    """Return a sentence saying that a group lacks an option, with the options that it has."""
    group, _, name = path.rpartition("/")
    if not group:
        return f"{name}: there is no such configuration file outside of the groups"
    above, _, folder = group.rpartition("/")
    if above == "experiment" and folder in groups():
        where = f"{_experiment(overrides)}: defaults"
        return f"{where}: {folder}: {name}: write '- override /{folder}: {name}', with a slash"
    if above in groups():  # An option in a folder of a group.
        group, name = above, f"{folder}/{name}"
    if path in PLUGINS:
        return f"{group}={name}: is not installed; pip install {PLUGINS[path]}"
    known = [one.rpartition("/")[2] for one in PLUGINS if one.startswith(f"{group}/")]
    options = dict.fromkeys([*(options or groups().get(group, [])), *known])
    own = ""
    if group in ("planner", "application", "data_plane") and DOTTED.fullmatch(name):
        places = [one for one in overrides if one.endswith(f"={name}")] or [group]
        place = places[0].lstrip("+~").partition("=")[0].rpartition("@")[2]
        plus = "+" if place.startswith("planner.compare.") else ""
        own = f"; to name a class of your own, write {plus}{place}._target_={name}"
        if any(f"{place}=" in one and "," in one for one in overrides):
            own += " and name the others by their classes too"
    inside = in_folders(group) if group in groups() else []
    if moved := [option for option in inside if option.rpartition("/")[2] == name]:
        return f"{group}={name}: there is no such {group}; it is {group}={moved[0]}"
    if inside:
        first = inside[0].partition("/")[0]
        names = [*options, f"{first}/NAME (see compass-lab list)"]
        meant = did_you_mean(name, [*options, *inside])
        return f"{group}={name}: there is no such {group}; choose one of {', '.join(names)}{meant}"
    listed = f"; {choices(name, options)}" if options else ""
    return f"{group}={name}: there is no such {group}{own}{listed}"


def _unpackaged(overrides: Sequence[str]) -> str:
    """Return a sentence saying that an experiment lacks the line ``# @package _global_``."""
    return (
        f"{_experiment(overrides)}: the keys of the file end up below the key experiment; begin "
        "the file with the line '# @package _global_'"
    )


def _experiment(overrides: Sequence[str]) -> str:
    """Return the override that chooses an experiment, or else the word ``experiment``."""
    return next((one for one in reversed(overrides) if key_of(one) == "experiment"), "experiment")


def _no_option(overrides: Sequence[str]) -> str:
    """Return a sentence on a group that was set to something other than the name of an option."""
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        names = groups().get(group, [])
        if names and value not in names:
            return f"{group}={value}: must be a name; {choices(value, names)}"
    return "a group of the configuration must be set to a name, such as cluster=small"
