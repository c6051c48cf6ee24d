"""Hydra's sources of files: those of users within bounds, those of packages parsed once."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import file_config_source, importlib_resources_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf

from lab.common.errors import InputError, one_line
from lab.common.yaml_files import check_yaml, read_text


class FileConfigSource(file_config_source.FileConfigSource):
    """The source for the scheme ``file``; Hydra keeps it, because it has the usual name."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file; raise InputError if it is too large or nests too deeply."""
        path = Path(self.path, self._normalize_file_name(config_path))
        if path.is_file():
            try:
                check_yaml(read_text(path), path)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: cannot be read as YAML in UTF-8 ({one_line(error)})"
                ) from None
        return super().load_config(config_path)


class ImportlibResourcesConfigSource(
    importlib_resources_config_source.ImportlibResourcesConfigSource
):
    """The source for the scheme ``pkg``; a process composes many times from the same files."""

    def _read_config(self, res: Any) -> ConfigResult:
        text = res.read_text(encoding="utf-8")
        return ConfigResult(
            config=OmegaConf.create(_parsed(text)),  # a copy, which Hydra changes
            path=f"{self.scheme()}://{self.path}",
            provider=self.provider,
            header=self._get_header_dict(text[:512]),
        )


@lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    """Return what a file says; parsing takes longer than all else about it."""
    return OmegaConf.to_container(OmegaConf.create(text))


def use_our_sources() -> None:
    """Let Hydra read files by these sources."""
    for source in (FileConfigSource, ImportlibResourcesConfigSource):
        SourcesRegistry.instance().types[source.scheme()] = source
