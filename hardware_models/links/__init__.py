"""Links: measured technologies, and how their capacity changes in time."""
