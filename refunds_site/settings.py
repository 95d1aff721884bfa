"""Settings, all of them from the environment (docs/settings.md lists what they mean)."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
import structlog
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from access import oidc
from refunds_site import content_policy, embedded, logs
from refunds_site.unfold import UNFOLD  # noqa: F401  a setting

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data")))
_demo = embedded.read_urls(DATA_DIR) if DEBUG else {}


def _required(name: str, meaning: str, *, debug_default: str = "") -> str:
    value = env.str(name, default="") or (debug_default if DEBUG else "")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. Set it to {meaning}.")
    return value


def _whole(name: str, what: str, *, default: int, least: int, most: int) -> int:
    text = env.str(name, default=str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ImproperlyConfigured(f"{name} is {text!r}. Set it to {what} from {least} to {most}.")
    return int(text)


def _seconds(name: str, *, default: int, least: int, most: int) -> int:
    return _whole(name, "whole seconds", default=default, least=least, most=most)


SECRET_KEY = _required(
    "SECRET_KEY",
    "a long random text that only this installation knows",
    debug_default="only-for-debug-mode-and-never-for-production-0123456789",
)
# Keys before this one, so that changing it signs nobody out.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else []
)
if not DEBUG and env.str("CRASH_AT", default=""):
    raise ImproperlyConfigured("CRASH_AT makes processes die on purpose. It is for DEBUG=1 only.")
# What links in mails begin with.
SITE_URL = env.str(
    "SITE_URL",
    default=_demo.get("url", "")
    or ("http://127.0.0.1:8000" if DEBUG else f"https://{next(iter(ALLOWED_HOSTS), 'localhost')}"),
).rstrip("/")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Keys that encrypt processor credentials: the first encrypts, all decrypt. In debug mode they
# come from SECRET_KEY, so that a demo needs no set-up.
CREDENTIALS_KEYS = [
    key.strip()
    for key in _required(
        "CREDENTIALS_KEYS",
        "one or more comma-separated keys that encrypt processor credentials "
        "(python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one)",
        debug_default=SECRET_KEY,
    ).split(",")
    if key.strip()
]
if not CREDENTIALS_KEYS:
    raise ImproperlyConfigured("CREDENTIALS_KEYS holds commas only. Set it to one or more keys.")

# --- what the money side needs ---------------------------------------------------------------
PROVIDER_TEST_HOSTS = env.list(
    "PROVIDER_TEST_HOSTS", default=["127.0.0.1", "localhost"] if DEBUG else []
)
# Whether live accounts are called in debug mode, where a mistake would move real money.
ALLOW_LIVE_WITH_DEBUG = env.bool("ALLOW_LIVE_WITH_DEBUG", default=False)
# Together with what a worker does around a call it must fit into CELERY_TASK_SOFT_TIME_LIMIT.
PROVIDER_TIMEOUT_SECONDS = _seconds("PROVIDER_TIMEOUT_SECONDS", default=25, least=1, most=40)
# Fewer than a worker's processes, so that one silent processor cannot hold them all.
PROVIDER_CONCURRENCY = _whole("PROVIDER_CONCURRENCY", "a number", default=3, least=1, most=100)
# Who checks the signatures of PayPal's webhooks: we, or PayPal, at a call for each.
PAYPAL_WEBHOOK_VERIFICATION = env.str("PAYPAL_WEBHOOK_VERIFICATION", default="offline")
if PAYPAL_WEBHOOK_VERIFICATION not in {"offline", "api"}:
    raise ImproperlyConfigured(
        f"PAYPAL_WEBHOOK_VERIFICATION is {PAYPAL_WEBHOOK_VERIFICATION!r}. Set it to offline or api."
    )
UNDO_SECONDS = _seconds("UNDO_SECONDS", default=5, least=0, most=3600)
# What nobody has approved for so long is called off.
APPROVAL_EXPIRES_DAYS = _whole("APPROVAL_EXPIRES_DAYS", "days", default=7, least=1, most=365)
# So close together two equal payments of one customer may be one that was made twice.
DUPLICATE_WINDOW_MINUTES = _whole(
    "DUPLICATE_WINDOW_MINUTES", "minutes", default=60, least=1, most=10_080
)

# --- who may read /metrics ---------------------------------------------------------------------
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
if METRICS_TOKEN and not re.fullmatch(r"[!-~]{20,}", METRICS_TOKEN):
    raise ImproperlyConfigured(
        "METRICS_TOKEN is too short to keep anybody out. Set it to a random word of 20 characters "
        "or more (python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one), or "
        "leave it empty: then /metrics is closed."
    )
# Where this process writes what it measures, if others do so beside it.
if _measured := env.str("PROMETHEUS_MULTIPROC_DIR", default=""):
    Path(_measured).mkdir(parents=True, exist_ok=True)
# For how many days what tells of people is kept; 0 is for ever (docs/privacy.md).
RETAIN_CUSTOMERS_DAYS = _whole("RETAIN_CUSTOMERS_DAYS", "days", default=0, least=0, most=36_500)
RETAIN_EVIDENCE_DAYS = _whole("RETAIN_EVIDENCE_DAYS", "days", default=0, least=0, most=36_500)
RETAIN_REJECTED_WEBHOOKS_DAYS = _whole(
    "RETAIN_REJECTED_WEBHOOKS_DAYS", "days", default=0, least=0, most=36_500
)
# Where the heads of the audit trail's chains are noted every hour, besides in the log.
AUDIT_HEADS_FILE = env.str("AUDIT_HEADS_FILE", default="")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the other one puts its own site in the place of ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "refunds_site.apps.RefundDeskConfig",
    "refunds_site.apps.RefundDeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "audit",
    "gateways",
    "access",
    "transactions",
    "refunds",
    "campaigns",
]

MIDDLEWARE = [
    "refunds_site.health.HealthMiddleware",
    "refunds_site.metrics.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "refunds_site.headers.HeadersMiddleware",  # before static files: they are nobody else's either
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "refunds_site.content_policy.ContentPolicyMiddleware",
    "refunds_site.logs.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "access.guards.SessionLimits",
    "access.middleware.ProfileMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "access.guards.SecondFactorGuard",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "refunds_site.urls"
WSGI_APPLICATION = "refunds_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
    {  # what is drawn fifty times on a page
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [BASE_DIR / "templates" / "jinja2"],
        "OPTIONS": {"environment": "transactions.drawing.environment"},
    },
]

# --- database and cache ----------------------------------------------------------------------
_database_url = _required(
    "DATABASE_URL",
    "the address of a PostgreSQL database, such as postgres://user:password@host:5432/refund_desk",
    debug_default=_demo.get("database_url", "postgres://refund_desk@127.0.0.1:5432/refund_desk"),
)
try:
    DATABASES = {"default": env.db_url_config(_database_url)}
except ValueError as error:  # a port that is none
    raise ImproperlyConfigured(f"DATABASE_URL is not an address: {error}.") from error
if DATABASES["default"].get("ENGINE") != "django.db.backends.postgresql":
    raise ImproperlyConfigured(
        "DATABASE_URL names a database that is not PostgreSQL. Refunds rely on its constraints, "
        "triggers and row locks: set it to postgres://…"
    )
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    "ATOMIC_REQUESTS": False,  # it would wrap calls to processors
}
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"] |= {
    "connect_timeout": 5,
    # A database machine that vanished must not hold a worker for the hours that TCP would wait.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    # An attempt is on disk before its first byte leaves, whatever the server's own setting is.
    "options": (
        "-c synchronous_commit=on -c lock_timeout=3s -c statement_timeout=10s "
        "-c idle_in_transaction_session_timeout=15s"
    ),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = _required(
    "REDIS_URL",
    "the address of a Redis or Valkey server, such as redis://host:6379/0",
    debug_default=_demo.get("redis_url", "redis://127.0.0.1:6379/0"),
)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "refund-desk",
    }
}
# Sessions live in the database: the broker may be lost at any moment without anybody noticing.
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# --- Celery (why each value: docs/adr) -------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 45
CELERY_TASK_TIME_LIMIT = 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 65
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,  # look every time, not every tenth
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "max_retries": 1,
}
CELERY_TASK_PUBLISH_RETRY = False  # the sweep publishes again; a request never waits for a broker
# Which worker serves which queue: refunds_site/processes.py. Sweeps call no processor.
CELERY_TASK_DEFAULT_QUEUE = "bulk"
CELERY_TASK_ROUTES = {
    "refunds.tasks.send_refund": {"queue": "submit"},
    "refunds.tasks.publish_due": {"queue": "sweep"},
    "refunds.tasks.expire_leases": {"queue": "sweep"},
    "refunds.tasks.look_up_refund": {"queue": "lookup"},
    "refunds.tasks.look_up_due": {"queue": "sweep"},
    "refunds.tasks.probe_down_accounts": {"queue": "sweep"},
    "refunds.tasks.process_webhook": {"queue": "webhook"},
    "refunds.tasks.publish_webhooks": {"queue": "sweep"},
    "refunds.tasks.sync_account": {"queue": "bulk"},
    "refunds.tasks.sync_all_accounts": {"queue": "bulk"},
    "refunds.tasks.reconcile_all_accounts": {"queue": "bulk"},
    "refunds.tasks.raise_disputes": {"queue": "sweep"},
    "refunds.tasks.tidy_cases": {"queue": "sweep"},
    "refunds.tasks.expire_unapproved": {"queue": "sweep"},
    "refunds.tasks.tell_approvers": {"queue": "sweep"},
    "refunds.tasks.forget": {"queue": "sweep"},
    "refunds.tasks.note_audit_heads": {"queue": "sweep"},
    "campaigns.tasks.work": {"queue": "bulk"},
    "campaigns.tasks.hand_out_open": {"queue": "sweep"},
}


def _beat(
    task: str, schedule: timedelta | crontab, *, expires: int = 3600, **kwargs: int
) -> dict[str, Any]:
    return {
        "task": task if "." in task else f"refunds.tasks.{task}",
        "schedule": schedule,
        "kwargs": kwargs,
        "options": {"expires": expires},
    }


def _every(seconds: int, task: str) -> dict[str, Any]:
    """Messages of a beat that outlived their interval are worthless: they expire, not pile up."""
    return _beat(task, timedelta(seconds=seconds), expires=seconds)


CELERY_BEAT_SCHEDULE = {
    "publish-due": _every(2, "publish_due"),
    "look-up-due": _every(2, "look_up_due"),
    "probe-down-accounts": _every(10, "probe_down_accounts"),
    "expire-leases": _every(15, "expire_leases"),
    "publish-webhooks": _every(60, "publish_webhooks"),
    "tidy-cases": _every(60, "tidy_cases"),
    "tell-approvers": _every(60, "tell_approvers"),
    "expire-unapproved": _every(600, "expire_unapproved"),
    "raise-disputes": _every(60, "raise_disputes"),
    "forget": _every(600, "forget"),
    "campaigns": _every(10, "campaigns.tasks.hand_out_open"),
    "audit-heads": _beat("note_audit_heads", crontab(minute="7")),
    "sync-all-accounts": _every(300, "sync_all_accounts"),
    # Lists by time of creation never show what changed later: disputes, for one.
    "sync-further-back": _beat("sync_all_accounts", crontab(hour="3", minute="17"), days=35),
    "reconcile": _beat("reconcile_all_accounts", crontab(minute="41")),
    # Refunds come back weeks after they succeeded.
    "reconcile-further-back": _beat(
        "reconcile_all_accounts", crontab(hour="4", minute="53"), days=35
    ),
}

# --- people ----------------------------------------------------------------------------------
# What Argon2 has not hashed is hashed anew when its person signs in.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTHENTICATION_BACKENDS = ["access.backends.ProfileBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# --- getting in ------------------------------------------------------------------------------
REQUIRE_TWO_FACTOR = env.bool("REQUIRE_TWO_FACTOR", default=not DEBUG)
STEP_UP_SECONDS = _seconds("STEP_UP_SECONDS", default=300, least=60, most=3600)
LOCKOUT_SECONDS = _seconds("LOCKOUT_SECONDS", default=900, least=60, most=86_400)
SESSION_IDLE_SECONDS = _seconds("SESSION_IDLE_SECONDS", default=900, least=120, most=86_400)
SESSION_ABSOLUTE_SECONDS = _seconds(
    "SESSION_ABSOLUTE_SECONDS", default=36_000, least=600, most=604_800
)
SESSION_COOKIE_AGE = SESSION_ABSOLUTE_SECONDS
# How many proxies of ours stand in front: so many entries of X-Forwarded-For are theirs.
TRUSTED_PROXY_COUNT = _whole("TRUSTED_PROXY_COUNT", "a number", default=0, least=0, most=9)
OIDC_ISSUER = env.str("OIDC_ISSUER", default="")
OIDC_NAME = env.str("OIDC_NAME", default="Single sign-on")
OIDC_IS_TWO_FACTOR = env.bool("OIDC_IS_TWO_FACTOR", default=False)
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
if OIDC_ISSUER and not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET):
    raise ImproperlyConfigured(
        "OIDC_ISSUER is set, and OIDC_CLIENT_ID or OIDC_CLIENT_SECRET is not. Set them to what "
        "the provider has given this installation."
    )
SOCIALACCOUNT_PROVIDERS = oidc.providers(
    issuer=OIDC_ISSUER, client_id=OIDC_CLIENT_ID, secret=OIDC_CLIENT_SECRET, name=OIDC_NAME
)
SOCIALACCOUNT_ADAPTER = "access.single_sign_on.SingleSignOnAdapter"
ACCOUNT_ADAPTER = "access.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]  # nobody signs up; the check wants a login
ACCOUNT_EMAIL_VERIFICATION = "none"
# Codes of the second step, per person; passwords are counted by access.lockout.
ACCOUNT_RATE_LIMITS = {"login_failed": f"5/{LOCKOUT_SECONDS}s/key"}
MFA_ADAPTER = "access.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "access.passkeys.AddForm",
    "authenticate_webauthn": "access.passkeys.UseForm",
}
MFA_TOTP_ISSUER = "Refund Desk"
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_TOLERANCE = 1  # the code before and the one after, for clocks that are half a minute off

# --- REST ------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "access.authentication.TokenAuthentication",
        "access.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["refunds_site.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "refunds_site.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["refunds_site.filtering.FilterBackend"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would tell what the schema tells better
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "refunds_site.problems.problem_response",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Refund Desk",
    "DESCRIPTION": "Transactions of every processor, and the refunds of them.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "AttemptStateEnum": "refunds.states.AttemptState",
        "RefundStatusEnum": "refunds.states.Status",
        "TransactionStatusEnum": "transactions.models.TransactionStatus",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "refunds_site.problems.describe_problems",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},  # no call to the outside
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- language and time -----------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", _("English")),
    ("ro", _("Romanian")),
    ("ru", _("Russian")),
    ("pl", _("Polish")),
    ("ms", _("Malay")),
]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# --- files -----------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG

# --- mail ------------------------------------------------------------------------------------
_email_url = env.str("EMAIL_URL", default="consolemail://")
vars().update(env.email_url_config(_email_url))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="refunds@example.com")

# --- safety floor ----------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": content_policy.STRICT}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would sign out whoever follows a link of a mail
CSRF_COOKIE_SAMESITE = "Lax"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
if not DEBUG:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = env.bool("COOKIES_SECURE", default=True)
    CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
    if SESSION_COOKIE_SECURE:  # browsers keep such a name to this host, https and the path /
        SESSION_COOKIE_NAME = "__Host-sessionid"

LOGGING = logs.configuration(debug=DEBUG)
structlog.configure(**logs.STRUCTLOG)
