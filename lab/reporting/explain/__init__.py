"""Why a query got the plan that it got: the parts of the tool ``compass-lab explain``."""
