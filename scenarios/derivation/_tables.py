"""Raw tables with their types, and derived ones with their provenance."""

from collections.abc import Iterable, Mapping

import polars as pl

from scenarios.derivation import raw as raw_text

SIGNIFICANT_DIGITS = 6
"""Of every number that is written: more than any source has, few enough to agree everywhere."""


def raw(name: str, **types: type[pl.DataType]) -> pl.DataFrame:
    """Read a raw table, as text but for the columns whose types are given.

    Raises:
        TableError: there is no such table.
    """
    return raw_text(name).with_columns(pl.col(key).cast(one) for key, one in types.items())


def figure(table: str, quantity: str) -> float:
    """Return the one figure of a quantity in a raw table of columns ``quantity`` and ``value``."""
    rows = raw(table, value=pl.Float64).filter(pl.col("quantity") == quantity)
    return float(rows["value"].item())


def mean_figure(table: str, quantity: str) -> float:
    """Return the mean of a quantity's figures in a raw table."""
    rows = raw(table, value=pl.Float64).filter(pl.col("quantity") == quantity)
    return float(rows["value"].to_numpy().mean())


def sourced(
    rows: Iterable[Mapping[str, object]], unit: str, source: str, source_url: str, note: str = ""
) -> pl.DataFrame:
    """Return rows as a table, of kind ``derived`` unless they say, rounded, with provenance.

    Args:
        rows: the values by column; a row's own ``kind`` or ``note`` takes the common one's place.
        unit: units of the values, in the order of their columns.
        source: what they were worked out from.
        source_url: where that is published.
        note: the formula.
    """
    return pl.DataFrame(
        [
            {
                **{key: _rounded(one) for key, one in row.items() if key not in ("kind", "note")},
                "unit": unit,
                "kind": row.get("kind", "derived"),
                "source": source,
                "source_url": source_url,
                "note": row.get("note", note),
            }
            for row in rows
        ]
    )


def _rounded(value: object) -> object:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
