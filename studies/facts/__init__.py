"""Measured numbers that pages tell, and the commands that compute them.

A *source* (`sources`) is a command of a page; its *facts* are numbers of its results. The record
(`record`) keeps them with the behaviour versions they are of. Pages get them by cog (`pages`), and
``python3 tasks.py renew`` (`renew`) brings all of this up to date.
"""
