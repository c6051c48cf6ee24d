"""A prediction of a measured column: what it speaks of, and how it is tested."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl


@dataclass(frozen=True, slots=True)
class Predictor:
    """A measured column of a table, and the prediction that it is compared with.

    Attributes:
        table: A name in `hardware_models.schemas.SCHEMAS`.
        target: The measured column.
        group_by: Columns by which errors are reported.
        predict: Gives one figure a row, in the unit of the target, from the other columns and the
            tables in use; nan where it refuses to.
        rows: Marks the rows that it speaks of; None means all.
        cross_validated: Gives the package's own table with a column ``predicted``, each row
            predicted by a fit that had not seen it; None if nothing is fitted.
    """

    table: str
    target: str
    group_by: tuple[str, ...]
    predict: Callable[[pl.DataFrame], npt.NDArray[np.float64]]
    rows: Callable[[pl.DataFrame], pl.Series] | None = None
    cross_validated: Callable[[], pl.DataFrame] | None = None
