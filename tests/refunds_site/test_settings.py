"""A setting that cannot work stops the start with one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "only-for-this-test",
    "CREDENTIALS_KEYS": "only-for-this-test",
    "DATABASE_URL": "postgres://desk@127.0.0.1/desk",
    "REDIS_URL": "redis://127.0.0.1/0",
}


def start(**changes: str) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "check"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr.strip()


def test_these_settings_work():
    assert start() == (0, "")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *((name, "", f"{name} is not set. Set it to") for name in PRODUCTION),
        ("CREDENTIALS_KEYS", " , ", "CREDENTIALS_KEYS holds commas only."),
        ("DATABASE_URL", "garbage", "DATABASE_URL names a database that is not PostgreSQL."),
        ("DATABASE_URL", "sqlite:///desk", "DATABASE_URL names a database that is not"),
        ("DATABASE_URL", "postgres://desk@host:port/desk", "DATABASE_URL is not an address: Port"),
        ("PROVIDER_TIMEOUT_SECONDS", "60", "PROVIDER_TIMEOUT_SECONDS is '60'. Set it to whole"),
        ("PROVIDER_TIMEOUT_SECONDS", "0", "PROVIDER_TIMEOUT_SECONDS is '0'. Set it to whole"),
        ("UNDO_SECONDS", "soon", "UNDO_SECONDS is 'soon'. Set it to whole seconds from 0 to 3600."),
        ("UNDO_SECONDS", "-1", "UNDO_SECONDS is '-1'."),
        (
            "STEP_UP_SECONDS",
            "5",
            "STEP_UP_SECONDS is '5'. Set it to whole seconds from 60 to 3600.",
        ),
        ("SESSION_IDLE_SECONDS", "0", "SESSION_IDLE_SECONDS is '0'."),
        ("TRUSTED_PROXY_COUNT", "all", "TRUSTED_PROXY_COUNT is 'all'. Set it to a number from 0"),
        ("OIDC_ISSUER", "https://id.example.com", "OIDC_ISSUER is set, and OIDC_CLIENT_ID or"),
        ("PAYPAL_WEBHOOK_VERIFICATION", "no", "PAYPAL_WEBHOOK_VERIFICATION is 'no'. Set it to"),
    ],
)
def test_one_that_cannot_work_is_a_sentence(name, value, said):
    status, sentence = start(**{name: value})
    assert status == 1
    assert sentence.startswith(said)
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize("token", ["short", "x" * 19, "a word and another one", "ü" * 20, " " * 20])
def test_a_token_that_keeps_nobody_out_is_refused(token):
    status, sentence = start(METRICS_TOKEN=token)
    assert status == 1
    assert sentence.startswith("METRICS_TOKEN is too short to keep anybody out.")


def test_a_long_token_works(tmp_path):
    assert start(METRICS_TOKEN="x" * 20, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "web")) == (0, "")
    assert (tmp_path / "web").is_dir()
