"""The options of each configuration group, which are the names of its files."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable


def groups() -> dict[str, list[str]]:
    """Return the options of every group, without those in subfolders."""
    return {
        group.name: sorted(_names(group))
        for group in sorted(files("conf").iterdir(), key=lambda entry: entry.name)
        if _is_folder(group)
    }


def planner_names() -> list[str]:
    """Return the names of single planners, without those of comparisons."""
    return [name for name in groups()["planner"] if not name.startswith("comparison")]


def in_folders(group: str) -> list[str]:
    """Return the options in subfolders of a group, such as ``paper/fig20`` of ``experiment``."""
    path = files("conf").joinpath(group)
    folders = [entry for entry in path.iterdir() if _is_folder(entry)] if path.is_dir() else []
    return sorted(f"{folder.name}/{name}" for folder in folders for name in _names(folder))


def listing(*, folders: bool = False) -> str:
    """Return a line per group with its options; with `folders`, also those in subfolders."""
    lines = []
    for group, names in groups().items():
        inside = in_folders(group)
        if inside and not folders:
            first = inside[0].partition("/")[0]
            inside = [f"{first}/... ({len(inside)}, see compass-lab list)"]
        lines.append(f"  {group:<12} {', '.join([*names, *inside])}")
    return "\n".join(lines)


def _is_folder(entry: Traversable) -> bool:
    return entry.is_dir() and not entry.name.startswith((".", "_"))


def _names(folder: Traversable) -> Iterator[str]:
    return (
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )
