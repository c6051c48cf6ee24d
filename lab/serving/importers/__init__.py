"""Observations and tables of served pipelines from the traces and reports of other tools."""
