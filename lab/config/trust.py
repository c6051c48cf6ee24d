"""Says which parts of a configuration can name code, and refuses the rest before any import.

The rule: a configuration file in a directory is data, and the command line is the user's word.

- A file can name a class of this project by ``_target_``. It can name a class of another module
  only if the user allowed that module by ``--allow-import MODULE``.
- A file can refer to other keys by ``${KEY}`` and to half of one by ``${half:${KEY}}``. All other
  resolvers, such as ``oc.env``, are refused.
- Below ``hydra``, a file can set the keys of `HYDRA_KEYS` only.
- An override can do all of this, because the user wrote it.

The files of this package, those of Hydra and of installed plugins count as code, not as files. The
check happens where Hydra reads a file: each file's content is checked at the place in the tree
where Hydra puts it, before Hydra instantiates, imports or resolves anything.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra._internal import hydra as hydra_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import hydra_plugins
from lab.common.errors import InputError, key_of, short
from lab.common.yaml_files import MOST_DEPTH
from lab.config.references import check_references
from lab.config.targets import ROOT, is_ours

OPTION = "--allow-import"
KEY = "hydra.allow_import"
"""The override into which the option is turned, so that it reaches all processes of a sweep."""

CODE = ("pkg", "structured")
"""Schemes of sources that are installed code; the files of all other sources are checked."""

HYDRA_KEYS = (
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.sweeper.params",
    "hydra.sweeper.direction",
    "hydra.callbacks.outcome.objective",
)
NUMBERS = ("hydra.launcher", "hydra.sweeper")
"""Keys below which a file can also set numbers, such as ``hydra.launcher.n_jobs``."""

OTHER_INTERPOLATION = re.compile(r"\$\{(?![\w.\[\]-]*\}|half:(?:\$\{[\w.\[\]-]*|[\w.+-]*)\})")
INSIDE = re.compile(
    r"(?:[\w.+=,-]|/|\$\{now:[%\w-]+\}|\$\{hydra\.job\.(?:num|override_dirname)\})+"
)
"""A path from a file, as text."""
MOST_LOADED = 2_000
"""Files that one composition may load, repetitions included; the largest shipped one loads 60."""
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def allow_import(modules: str) -> str:
    """Return the override for an option's value, which is one or several modules, by commas."""
    for module in modules.split(","):
        if not MODULE.fullmatch(module):
            raise InputError(f"{OPTION} {modules}: must be the name of a module, such as my_pkg")
    return f"{KEY}=[{modules}]"


def split_allowed(overrides: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Return the overrides without those that allow modules, and the modules."""
    kept = [one for one in overrides if key_of(one) != KEY]
    allowed: set[str] = set()
    for one in OverridesParser.create().parse_overrides(
        [one for one in overrides if key_of(one) == KEY]
    ):
        value = one.value()
        for module in value if isinstance(value, list) else [value]:
            if not isinstance(module, str) or not MODULE.fullmatch(module):
                raise InputError(f"{one.input_line}: must be a list of modules, such as [my_pkg]")
            allowed.add(module)
    return kept, frozenset(allowed)


def check_file(content: Any, file: str, allowed: frozenset[str]) -> None:
    """Raise InputError if a file has what files must not have.

    Args:
        content: what the file adds to the configuration, from its root, with nothing resolved.
        file: the name of the file, for the message.
        allowed: modules whose classes the file can name.
    """
    for key, value in _leaves(content, ""):
        where = f"{file}: {key}={short(value)}"
        if f"{key}.".startswith("hydra."):
            _check_hydra(key, value, where)
        elif _is_target(key) and isinstance(value, str):
            _check_target(value, where, allowed)
        elif isinstance(value, str):
            _check_text(value, where)


def _check_target(value: str, where: str, allowed: frozenset[str]) -> None:
    if "$" in value:
        raise InputError(f"{where}: a file must name a class directly, not by ${{...}}")
    if not MODULE.fullmatch(value):
        raise InputError(f"{where}: must be the name of a class, such as planners.Greedy")
    module = value.rpartition(".")[0]
    if not module or is_ours(value):
        return
    if not any(f"{module}.".startswith(f"{one}.") for one in allowed):
        top = module.partition(".")[0]
        raise InputError(
            f"{where}: is not a class of this project, so a file must not name it; if you trust "
            f"{top}, add {OPTION} {top}, which lets files import and run it"
        )


def _check_text(value: str, where: str) -> None:
    if OTHER_INTERPOLATION.search(value):
        raise InputError(
            f"{where}: in a file, ${{...}} can have only the name of a key or half:${{KEY}}; other "
            "values are for the command line"
        )


def _check_hydra(key: str, value: Any, where: str) -> None:
    if key in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"):
        parts = value.split("/") if isinstance(value, str) else [""]
        if (
            parts[0] == ""
            or any(one.startswith(".") for one in parts)
            or not INSIDE.fullmatch(str(value))
        ):
            raise InputError(
                f"{where}: in a file, must be a path below the current directory, none of it "
                "hidden; other directories are for the command line"
            )
    elif f"{key}.".startswith("hydra.sweeper.params."):
        name = key.removeprefix("hydra.sweeper.params.")
        text = str(value).replace("\\", "")  # Hydra takes these out when it reads the value.
        if "hydra" in name or "_target_" in f"{name}{text}":
            raise InputError(f"{where}: in a file, a sweep must not vary Hydra's keys or classes")
        _check_text(text, where)
    elif key in HYDRA_KEYS or any(key.startswith(f"{one}[") for one in HYDRA_KEYS):
        _check_text(str(value), where)
    elif not (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and key.startswith(tuple(f"{one}." for one in NUMBERS))
    ):
        raise InputError(
            f"{where}: below hydra, a file can set only {', '.join(HYDRA_KEYS)} and the numbers "
            f"of {' and '.join(NUMBERS)}; other keys are for the command line"
        )


def _is_target(key: str) -> bool:
    return key.rpartition(".")[2] == "_target_"


def _leaves(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the key and the unresolved value of each leaf; an empty mapping is a leaf, too."""
    if isinstance(node, DictConfig | ListConfig):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict) and node:
        for name, one in node.items():
            yield from _leaves(one, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list) and node:
        for at, one in enumerate(node):
            yield from _leaves(one, f"{key}[{at}]")
    else:
        yield key, node


def _file_of(found: ConfigResult, config_path: str) -> str | None:
    """Return the name of the file of a result; None if it is installed code."""
    scheme, _, folder = str(found.path).partition("://")
    if scheme in CODE:
        return None
    path = Path(folder) / f"{config_path.removesuffix('.yaml')}.yaml"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class Repository(ConfigRepository):
    """Hydra's reader of files, which checks what Hydra uses before it has the whole tree."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a file; raise InputError if its list of defaults or its search path is refused."""
        try:
            found = super().load_config(config_path)
        except AssertionError:  # Hydra says no more about a group without a name.
            raise InputError(f"{config_path}.yaml: defaults: a group has no name") from None
        file = None if found is None else _file_of(found, config_path)
        if found is None or file is None:
            return found
        for default in found.defaults_list or ():
            for name, value in vars(default).items():
                for text in value if isinstance(value, list) else [value]:
                    if isinstance(text, str) and name != "parent":
                        _check_default(text, f"{file}: defaults: {short(text)}")
        if isinstance(found.config, DictConfig):
            check_references(found.config, file)  # Hydra resolves the search path.
            paths = OmegaConf.select(found.config, "hydra.searchpath", throw_on_missing=False)
            if paths is not None:
                check_file({"hydra": {"searchpath": str(paths)}}, file, frozenset())
        return found


def _check_default(text: str, where: str) -> None:
    _check_text(text, where)
    if ".." in text.split("/"):
        raise InputError(f"{where}: a file must not name files outside its directory")
    if not (all(text.removeprefix("/").split("/")) and text.isprintable()):
        raise InputError(f"{where}: must be the name of a file, such as /planner/greedy")


def _check_saved(config: DictConfig) -> None:
    """Keep values of the environment out of the files and directories that Hydra itself writes."""
    job = OmegaConf.to_container(config.hydra.job)
    assert isinstance(job, dict)
    if job["env_copy"]:
        raise InputError(
            "hydra.job.env_copy: is refused, because Hydra writes the values into files; export "
            "the variables where the jobs run"
        )
    # A directory named by the overrides would otherwise have the values of ${...}.
    config.hydra.job.override_dirname = job["override_dirname"].replace("${", "$")


class Loader(ConfigLoaderImpl):
    """Hydra's composer of configurations, which checks each file at its place in the tree."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = Repository(config_search_path)
        self._allowed: frozenset[str] = frozenset()

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        *options: Any,
        **more: Any,
    ) -> DictConfig:
        """Compose a configuration; raise InputError if a file has what files must not have."""
        kept, allowed = split_allowed(overrides)
        self._allowed |= allowed
        config = super().load_configuration(config_name, kept, run_mode, *options, **more)
        _check_saved(config)
        return config

    def _parse_overrides_and_create_caching_repo(self, *options: Any, **more: Any) -> Any:
        parsed, repo = super()._parse_overrides_and_create_caching_repo(*options, **more)
        load, left = repo.load_config, iter(range(MOST_LOADED))

        def load_config(config_path: str) -> ConfigResult | None:
            if next(left, None) is None:
                raise InputError(
                    f"{config_path}: defaults: name more than {MOST_LOADED:,} files, files named "
                    "by files included"
                )
            return load(config_path)

        repo.load_config = load_config  # type: ignore[method-assign]
        return parsed, repo

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> DictConfig:
        """Merge the files; references stay bounded, because merging into one resolves it."""
        compose = super()._compose_config_from_defaults_list
        files = [_file_of(repo.load_config(one.config_path), one.config_path) for one in defaults]
        first = next((at for at, file in enumerate(files) if file is not None), len(files))
        config = compose(defaults[:first], repo)
        for default, file in zip(defaults[first:], files[first:], strict=True):
            part = compose([default], repo)
            try:
                config.merge_with(part)
            except OmegaConfBaseException as error:
                raise ConfigCompositionException(
                    f"In '{default.config_path}': {type(error).__name__} raised while composing "
                    f"config:\n{error}"
                ) from error
            if file is not None:
                check_references(config, file)
        return config

    def _load_single_config(self, default: Any, repo: Any) -> ConfigResult:
        path, package = str(default.config_path), str(default.package or "")
        read = repo.load_config(path)
        file = None if read is None else _file_of(read, path)
        if file is not None:
            if repo.get_schema_source().is_config(path):
                raise InputError(f"{file}: this program has a {path} of its own; rename the file")
            if package.count(".") >= MOST_DEPTH:
                raise InputError(f"{file}: is placed more than {MOST_DEPTH} levels deep")
            if OmegaConf.is_config(read.config):
                placed = self._embed_result_config(read, default.package).config
                check_file(placed, file, self._allowed)
                check_references(placed, file)
        elif not default.primary and f"{package}.".startswith("hydra."):
            own = path.rpartition("/")[0].replace("/", ".")
            if package != own and not (package == "hydra" and path.startswith("hydra/")):
                raise InputError(
                    f"{path}@{package}: below hydra, a file must be at the key of its own group"
                )
        return super()._load_single_config(default, repo)


def hide_plugins_here() -> None:
    """Hide plugins in the current directory from Hydra, which imports all plugins that it finds."""
    with suppress(OSError):  # The current directory can be deleted.
        here = Path.cwd()
        hydra_plugins.__path__ = [
            folder
            for folder in hydra_plugins.__path__
            if (place := Path(folder).resolve().parent) == ROOT or place != here
        ]


@contextmanager
def checked_files() -> Iterator[None]:
    """Let Hydra compose configurations by `Loader` in the body."""
    private: Any = hydra_module
    before, private.ConfigLoaderImpl = private.ConfigLoaderImpl, Loader
    try:
        yield
    finally:
        private.ConfigLoaderImpl = before
