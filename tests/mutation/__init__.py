"""Mutation testing: does the test suite notice small faults in the code? See ``__main__``."""
