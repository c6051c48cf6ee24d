"""The data plane, which moves requests: one interface and two implementations."""
