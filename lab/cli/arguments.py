"""Command lines: numbers as options have them, and the parser's errors in one sentence."""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any, NoReturn

from lab.common.errors import InputError, choices, printable

REFUSED = 2
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
OF_ARGPARSE = {"int": "must be a whole number", "float": "must be a number"}
"""What an option with one of Python's own types must be."""


def whole(text: str) -> int:
    """Return the whole number that an option has; other notations than decimal are refused."""
    if not WHOLE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"={text}: must be a whole number")
    return int(text)


def number(text: str) -> float:
    """Return the finite number that an option has."""
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found) or "_" in text or text != text.strip():
        raise argparse.ArgumentTypeError(f"={text}: must be a number")
    return found


def named_values(option: str, form: str, texts: Iterable[str]) -> dict[str, str]:
    """Return the values that an option gives to names, from texts such as ``NAME=VALUE``.

    Raises InputError for a text of another form than `form`, and for a second value of a name.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise InputError(f"{option}={text}: must have the form {form}")
        if name in found:
            raise InputError(f"{option}={text}: {name} has the value {found[name]} already")
        found[name] = value
    return found


class ArgumentParser(argparse.ArgumentParser):
    """A parser that reports errors in one sentence; tools' parsers have this class too.

    Options are not abbreviated, so that a new option never changes what a command line means.
    """

    def __init__(self, *words: str | None, **named: object) -> None:
        self.words: Sequence[str] = ()  # those that are parsed
        super().__init__(*words, **{"allow_abbrev": False, **named})  # type: ignore[arg-type]
        self.set_defaults(parsed_by=self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse words, which the message of an error quotes."""
        self.words = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with status 2."""
        options = option_names(self)
        # A misspelt option is why something else seems to be missing.
        unknown = unknown_option(self.words, options) if "required" in message else ""
        said = unknown or sentence(message, options)
        self.exit(REFUSED, f"{printable(f'{self.prog}: {said}; see {self.prog} --help')}\n")


class PrintVersion(argparse.Action):
    """The option ``--version``; what it prints is imported when it is used."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print the versions and exit."""
        from lab.behaviour import version_lines

        print(version_lines())
        parser.exit()


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of a parser's options, as users write them."""
    # argparse has no public list of options.
    return [name for name in parser._option_string_actions if name.startswith("--")]


def unknown_option(words: Iterable[str], options: Sequence[str]) -> str:
    """Return a sentence on the first word that looks like an option but is none; else empty."""
    for word in words:
        name = word.partition("=")[0]
        if word == "--":
            break
        if word.startswith("--") and name not in options:
            return f"{name}: no such option; {choices(name, options)}"
    return ""


def sentence(message: str, options: Sequence[str]) -> str:
    """Return a sentence for a message of argparse; `options` has the names of all options."""
    if found := re.match("argument (.*?): (.*)", message, re.DOTALL):
        names = found[1].split("/")
        return _on_argument(next((one for one in names if one[:2] == "--"), names[0]), found[2])
    kind, _, rest = message.partition(": ")
    if kind == "unrecognized arguments":
        if rest.startswith("-"):
            name = rest.split()[0].partition("=")[0]
            return f"{name}: no such option; {choices(name, options)}"
        return f"{rest}: one word too many; remove it, or quote a value with spaces"
    if kind == "the following arguments are required":
        missing = rest.split(", ")
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if found := re.fullmatch("one of the arguments (.*) is required", message):
        return f"{' or '.join(found[1].split())} is missing"
    return message


def _on_argument(option: str, reason: str) -> str:
    """Return a sentence for what argparse says of one argument."""
    if reason.startswith("expected "):
        return f"{option}: needs a value, such as {option}=VALUE"
    if found := re.match("not allowed with argument (.*)", reason):
        return f"{option}: cannot be combined with {found[1].split('/')[-1]}"
    if found := re.match("ignored explicit argument '?(.*?)'?$", reason, re.DOTALL):
        return f"{option}={found[1]}: takes no value; write {option}"
    if found := re.match(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", reason, re.DOTALL):
        known = [one.strip(" '") for one in found[2].split(",")]
        return f"{option}={found[1]}: {choices(found[1], known)}"
    if found := re.match(r"invalid (\w+) value: '?(.*?)'?$", reason, re.DOTALL):
        return f"{option}={found[2]}: {OF_ARGPARSE.get(found[1], f'must be a {found[1]}')}"
    return f"{option}{'' if reason.startswith('=') else ': '}{reason}"


def add_overrides(tool: ArgumentParser, example: str = "") -> None:
    """Add arguments for overrides and a configuration directory; `example` extends the help."""
    words = f"overrides as for compass-sim{example}"
    tool.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=words)
    words = "directory of your own configuration files, such as DIR/experiment/mine.yaml"
    tool.add_argument("--config-dir", metavar="DIR", help=words)
    words = "let configuration files name classes of MODULE, which is imported and run"
    tool.add_argument(
        "--allow-import", action="append", default=[], metavar="MODULE", help=f"{words}; repeatable"
    )


Add = Callable[..., ArgumentParser]
"""A function that makes the parser of a tool: `add(tools, name, place, help, description)`."""
