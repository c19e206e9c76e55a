"""What holds for all tests."""

from hypothesis import HealthCheck, settings
from tests.fakes.chance import CHOSEN

# How fast a machine is that others use, too, is nothing a test should fail for.
settings.register_profile(
    "shared",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not CHOSEN,
)
settings.load_profile("shared")
