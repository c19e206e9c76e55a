"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How fast a machine is that others use, too, is nothing a test should fail for.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
