"""The reference data plane, which simulates each request event by event with SimPy."""
