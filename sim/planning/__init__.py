"""The service behind the planning interface: plan space, prediction, profiling and memory."""
