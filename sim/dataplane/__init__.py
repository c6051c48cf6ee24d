"""The data plane, which simulates requests: one interface with two implementations."""
