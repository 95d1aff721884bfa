"""The people and accounts of the tests of refunds."""

from tests.refunds.conftest import agent, ask, make_user, reason

__all__ = ["agent", "ask", "make_user", "reason"]
