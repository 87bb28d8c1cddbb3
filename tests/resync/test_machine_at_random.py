"""Long random sequences with time: the onlooker of `guarantees.py` checks every step."""

from hypothesis import settings
from walks import LONG, Walk

TestRandomWalks = Walk.TestCase
TestRandomWalks.settings = settings(LONG, max_examples=85, stateful_step_count=100)
