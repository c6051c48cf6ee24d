"""Pipelines that are really served: observe them, and compare them with what we predict.

What needs the extra ``[serve]`` is imported only where it is used.
"""
