"""The app's page in a notebook, with the same controls. It needs Panel, but no server."""

from functools import cache

import panel as pn

from lab.app.answers import SEEDS
from lab.app.page import Page
from lab.app.scenario import state_of
from lab.app.workers import Workers


def page(query: str = "", seeds: int = SEEDS) -> Page:
    """Return the page, which a notebook shows as the result of a cell.

    Args:
        query: part of an address after its ``?``, such as
            ``experiment=tracking_small&workload.rate=0.03``.
        seeds: number of seeds for intervals.

    Raises:
        InputError: the query sets what no control could set.
    """
    state_of(query)
    pn.extension(inline=True)  # so that the page works without a network
    return Page(_workers(), query, seeds)


@cache
def _workers() -> Workers:
    return Workers()
