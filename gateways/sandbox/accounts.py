"""The merchant accounts that the sandbox begins with. Their credentials open nothing else."""

from __future__ import annotations

from .records import AccountSettings, SandboxAccount


def built_in_accounts() -> list[SandboxAccount]:
    """Fresh copies: an account's settings and credentials can be changed while it runs."""
    return [*_with_keys(), *_without_keys()]


def _with_keys() -> list[SandboxAccount]:
    """The processors that know idempotency keys."""
    return [
        SandboxAccount(
            "stripe-main",
            "stripe",
            {"api_key": "sk_test_sandbox_main", "webhook_secret": "whsec_sandbox_main"},
            ("EUR", "USD", "GBP", "RON", "PLN", "KWD"),
        ),
        SandboxAccount(
            "stripe-japan",
            "stripe",
            {"api_key": "sk_test_sandbox_japan", "webhook_secret": "whsec_sandbox_japan"},
            ("JPY", "USD"),
            AccountSettings(balance={"JPY": 0, "USD": 0}),
        ),
        SandboxAccount(
            "paypal-main",
            "paypal",
            {
                "client_id": "sandbox-client-main",
                "client_secret": "sandbox-secret-main",
                "webhook_id": "WH-SANDBOX-MAIN",
            },
            ("USD", "EUR", "GBP", "PLN", "JPY"),
            AccountSettings(refund_age_days=180),
        ),
    ]


def _without_keys() -> list[SandboxAccount]:
    """The processors that settle at night and know no keys."""
    return [
        SandboxAccount(
            "authorizenet-us",
            "authorizenet",
            {
                "api_login_id": "sandboxLogin1",
                "transaction_key": "sandboxKey123456",
                "signature_key": "0123456789ABCDEF" * 8,
            },
            ("USD",),
            AccountSettings(settles_nightly=True, refund_age_days=180),
        ),
        SandboxAccount(
            "nmi-main",
            "nmi",
            {
                "security_key": "sandbox-nmi-main-key",
                "webhook_signing_key": "sandbox-nmi-main-signing-key",
            },
            ("USD", "GBP"),
            AccountSettings(settles_nightly=True),
        ),
    ]
