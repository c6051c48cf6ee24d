"""Code that both data planes share: their interface, durations, and rows of requests."""
