"""The tool ``app`` of ``compass-lab``."""

import argparse
from functools import partial

from lab.common.errors import InputError

MOST_PORT = 65_535


def app(options: argparse.Namespace) -> int:
    """Serve the page until an interruption."""
    from lab.app.scenario import state_of

    if not 0 <= options.port <= MOST_PORT:
        raise InputError(f"--port={options.port}: must be from 0 to {MOST_PORT:,}")
    if options.seeds < 1:
        raise InputError(f"--seeds={options.seeds}: must be 1 or more")
    try:
        from lab.app.page import Page, serve
    except ImportError as error:
        raise InputError(
            f"{error.name}: is not installed; the app needs the extra [app]: "
            "pip install 'compass-sim[app]'"
        ) from None
    from lab.app.workers import Workers

    state = state_of(options.state)
    workers = Workers(scenarios=(state.experiment,))
    try:
        make = partial(Page, workers, options.state, options.seeds)
        serve(make, options.host, options.port, not options.no_browser)
    except OSError as error:
        where = f"--host={options.host} --port={options.port}"
        raise InputError(f"{where}: nothing can listen there: {error.strerror}") from None
    finally:
        workers.close()
    return 0
