"""Settings that all tests share; that this file is here makes ``tests/worlds.py`` importable."""

from hypothesis import HealthCheck, settings

from sim.dataplane.base.request_rows import line_of

settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quick")

line_of(0)  # Compiles first, so that the notice is in no output that a test reads.
