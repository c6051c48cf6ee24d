"""The tool ``mcp`` of ``compass-lab``."""

import argparse

from lab.common.errors import InputError, why_not


def mcp(options: argparse.Namespace) -> int:
    """Serve an assistant on standard input and output, until it ends."""
    if options.budget_s <= 0:
        raise InputError(f"--budget-s {options.budget_s:g}: must be above 0")
    try:
        from lab.mcp_server.server import main
    except ImportError as error:
        raise InputError(
            f"{error.name}: is not installed; the server for assistants needs the extra [mcp]: "
            "pip install 'compass-sim[mcp]'"
        ) from None
    from lab.mcp_server.answers import Place
    from lab.run_cache.jobs import at_a_time

    at_a_time(options.jobs)
    directory = options.out.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out={options.out}: cannot be written: {why_not(error)}") from None
    main(Place(directory, options.jobs), options.budget_s)
    return 0
