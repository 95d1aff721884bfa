"""What the log tells, each kind with its sentence. The part before the dot is its group."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Kind(TextChoices):
    """A kind that is in the log is never renamed: its rows would lose their sentence."""

    SIGNED_IN = "sign_in.succeeded", _("Signed in")
    SIGN_IN_FAILED = "sign_in.failed", _("Sign-in failed")
    SIGN_IN_LOCKED = "sign_in.locked", _("Sign-in locked after too many failures")
    SIGNED_OUT = "sign_in.signed_out", _("Signed out")
    SESSION_ENDED = "sign_in.session_ended", _("Session ended")
    OTHERS_ENDED = "sign_in.others_ended", _("Other sessions ended")
    LOGIN_BOUND = "sign_in.bound", _("Single sign-on bound to a person")
    PROVED = "sign_in.proved", _("Proved again who they are")
    PROOF_FAILED = "sign_in.proof_failed", _("Did not prove who they are")
    TWO_FACTOR_ENROLLED = "two_factor.enrolled", _("Second factor set up")
    TWO_FACTOR_REMOVED = "two_factor.removed", _("Second factor removed")
    TWO_FACTOR_FAILED = "two_factor.failed", _("Second factor was wrong")
    CODES_RENEWED = "two_factor.codes_renewed", _("Recovery codes made anew")
    PASSWORD_CHANGED = "password.changed", _("Password changed")
    PERSON_ADDED = "person.added", _("Person added")
    PERSON_CHANGED = "person.changed", _("Person changed")
    PERSON_RIGHTS = "person.rights_changed", _("Rights of a person changed")
    GROUP_ADDED = "group.added", _("Group added")
    GROUP_CHANGED = "group.changed", _("Group changed")
    GROUP_DELETED = "group.deleted", _("Group deleted")
    TOKEN_MADE = "token.made", _("API token made")
    TOKEN_CHANGED = "token.changed", _("API token changed")
    TOKEN_REVOKED = "token.revoked", _("API token revoked")
    ACCOUNT_ADDED = "account.added", _("Processor account added")
    ACCOUNT_CHANGED = "account.changed", _("Processor account changed")
    ACCOUNT_PAUSED = "account.paused", _("Processor account paused")
    ACCOUNT_RESUMED = "account.resumed", _("Processor account resumed")
    ACCOUNT_HELD = "account.held", _("Processor account held")
    ACCOUNT_RELEASED = "account.released", _("Hold of a processor account lifted")
    CREDENTIALS_ROTATED = "account.credentials_rotated", _("Credentials wrapped with another key")
    CREDENTIALS_CHANGED = "account.credentials_changed", _("Credentials changed")
    RULE_SET = "rule.set", _("Approval rule set")
    REASON_ADDED = "reason.added", _("Refund reason added")
    REASON_CHANGED = "reason.changed", _("Refund reason changed")
    REASON_DELETED = "reason.deleted", _("Refund reason deleted")
    VIEW_SHARED = "view.shared", _("Saved view shared")
    VIEW_CHANGED = "view.changed", _("Shared view changed")
    VIEW_DELETED = "view.deleted", _("Shared view deleted")
    CUSTOMERS_MERGED = "customer.merged", _("Customers merged")
    CUSTOMER_ERASED = "customer.erased", _("Customer erased")
    CUSTOMER_MARKED = "customer.marked", _("Customer marked as risky")
    CUSTOMER_CLEARED = "customer.cleared", _("Customer no longer marked as risky")
    CUSTOMERS_SPLIT = "customer.split", _("Customers split")
    EXCHANGE_ADDED = "exchange.added", _("Exchange of a payment noted")
    EXCHANGE_DELETED = "exchange.deleted", _("Exchange of a payment taken back")
    EXPORTED = "export.made", _("Export made")
    IMPORTED = "import.made", _("Payments imported")
    CAMPAIGN_MADE = "campaign.made", _("Campaign made")
    CAMPAIGN_STARTED = "campaign.started", _("Campaign started")
    CAMPAIGN_PAUSED = "campaign.paused", _("Campaign paused")
    CAMPAIGN_RESUMED = "campaign.resumed", _("Campaign resumed")
    CAMPAIGN_CANCELED = "campaign.canceled", _("Campaign canceled")
    REFUSED = "refund.refused", _("Refused")

    @property
    def group(self) -> str:
        return self.value.partition(".")[0]
