"""The options of each group of the configuration, by the names of the files that hold them."""

from importlib.resources import files


def groups() -> dict[str, list[str]]:
    """Return the options of every group."""
    return {
        group.name: sorted(
            option.name.removesuffix(".yaml")
            for option in group.iterdir()
            if option.name.endswith(".yaml")
        )
        for group in sorted(files("conf").iterdir(), key=lambda entry: entry.name)
        if group.is_dir() and not group.name.startswith((".", "_"))
    }


def listing() -> str:
    """Return the groups and their options, one group a line."""
    return "\n".join(f"  {group:<12} {', '.join(names)}" for group, names in groups().items())
