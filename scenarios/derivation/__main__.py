"""The command ``python -m scenarios.derivation [NAME ...]``."""

import sys

from hardware_models.errors import UnknownNameError
from scenarios.derivation import write

if __name__ == "__main__":  # A configuration could name this module.
    try:
        for path in write(sys.argv[1:]):
            print(path)
    except UnknownNameError as error:
        sys.exit(str(error))
