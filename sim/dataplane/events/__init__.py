"""The reference data plane, which follows each request event by event with SimPy."""
