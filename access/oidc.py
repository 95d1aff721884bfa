"""The OpenID provider that the settings name, as django-allauth wants it told."""

from __future__ import annotations

from typing import Any

# In addresses and in rows: an installation has one provider.
PROVIDER = "sso"


def providers(*, issuer: str, client_id: str, secret: str, name: str) -> dict[str, Any]:
    """The value of ``SOCIALACCOUNT_PROVIDERS``; without an issuer there is no provider."""
    if not issuer:
        return {}
    app = {
        "provider_id": PROVIDER,
        "name": name,
        "client_id": client_id,
        "secret": secret,
        "settings": {"server_url": issuer.rstrip("/")},
    }
    return {"openid_connect": {"APPS": [app], "OAUTH_PKCE_ENABLED": True}}
