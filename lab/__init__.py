"""The commands, reports and comparisons on top of the simulator."""
