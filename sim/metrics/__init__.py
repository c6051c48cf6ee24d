"""What is measured while a world runs: goodput, telemetry, and the tables of results."""
