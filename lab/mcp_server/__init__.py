"""A server for assistants, by the Model Context Protocol: tools that run and compare."""
