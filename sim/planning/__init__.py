"""The implementation of the planning interface: plan space, prediction, profiling and memory."""
