"""Names of operators."""

import re

from lab.serving.pipeline import NAME


def operator_name(text: str) -> str:
    """Return a name of another tool as the name of an operator: lower-case letters, digits, _."""
    name = re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if re.fullmatch(NAME, name) else f"op_{name}"
