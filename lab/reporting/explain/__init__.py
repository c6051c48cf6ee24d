"""The tool ``compass-lab explain``: why a query got its plan."""
