"""What refunds are tried on, for those who attack them."""

from tests.refunds.conftest import agent, approver, ask, desk, hooks, make_user, reason

__all__ = ["agent", "approver", "ask", "desk", "hooks", "make_user", "reason"]
