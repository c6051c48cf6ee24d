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

line_of(0)  # Whoever compiles first is told so; no command whose output a test looks at shall be.
