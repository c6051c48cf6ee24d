"""The tool ``app`` of ``compass-lab``."""

import argparse

from lab.common.errors import InputError

MOST_PORT = 65_535


def app(options: argparse.Namespace) -> int:
    """Serve the page until an interruption."""
    from lab.app.scenario import state_of

    if not 0 <= options.port <= MOST_PORT:
        raise InputError(f"--port={options.port}: must be from 0 to {MOST_PORT:,}")
    try:
        from lab.app.page import serve
    except ImportError as error:
        raise InputError(
            f"{error.name}: is not installed; the app needs the extra [app]: "
            "pip install 'compass-sim[app]'"
        ) from None
    from lab.app.workers import Workers

    state = state_of(options.state)
    workers = Workers(scenarios=(state.experiment,))
    try:
        serve(workers, options.host, options.port, options.state, not options.no_browser)
    finally:
        workers.close()
    return 0
