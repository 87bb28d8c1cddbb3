"""Long random sequences with time: the onlooker of `guarantees.py` checks every step."""

from hypothesis import HealthCheck, settings
from walks import Walk

TestRandomWalks = Walk.TestCase
TestRandomWalks.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    stateful_step_count=100,
    suppress_health_check=list(HealthCheck),
)
