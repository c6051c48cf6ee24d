"""Hydra's source of files in a directory, with bounds on what a file may hold."""

from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult

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


def use_bounded_files() -> None:
    """Let Hydra read files of users by this source."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
