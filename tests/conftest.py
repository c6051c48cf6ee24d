"""Settings that all tests share; that this file is here makes ``tests/worlds.py`` importable."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")
