"""The notebooks: one text each, in Jupytext's percent format.

They are executed when the site is built (``docs/conf.py``).
"""
