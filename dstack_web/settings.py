"""Django settings, read from the environment; `dstack_web/variables` lists its variables.

`manage.py up` sets every variable that the embedded default needs before Django is imported, so
there is one settings module for the embedded server, production and the tests.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import csp.constants
from django.core.exceptions import ImproperlyConfigured

from dstack_web.variables.values import Values, check
from dstack_web.variables.variable import BadVariable


def data_path(name: str, packaged: str) -> Path:
    """Templates and static files lie beside the package in a checkout, inside it in a wheel."""
    beside = BASE_DIR / name
    return beside if beside.is_dir() else Path(__file__).parent / packaged


BASE_DIR = Path(__file__).resolve().parent.parent
env = Values(os.environ)
try:
    check(os.environ)
except BadVariable as error:
    raise ImproperlyConfigured(str(error)) from None

DSTACK_HOME = Path(env.text("DSTACK_HOME")).expanduser()
SERVER_DIR = DSTACK_HOME / "server"

SECRET_KEY = env.text("DSTACK_SECRET_KEY")
DSTACK_ENCRYPTION_KEYS = env.words("DSTACK_ENCRYPTION_KEYS")
DEBUG = env.switch("DSTACK_DEBUG")

DSTACK_BIND = env.text("DSTACK_BIND")
DSTACK_PORT = env.whole("DSTACK_PORT")
DSTACK_GATEWAY_PORT = env.whole("DSTACK_GATEWAY_PORT")
DSTACK_PUBLIC_URL = env.url("DSTACK_PUBLIC_URL") or f"http://127.0.0.1:{DSTACK_PORT}"
DSTACK_AGENT_URL = env.url("DSTACK_AGENT_URL") or f"http://127.0.0.1:{DSTACK_PORT}"
DSTACK_LOCAL_URL = env.url("DSTACK_LOCAL_URL") or DSTACK_AGENT_URL
DSTACK_AGENT_CA = env.authority("DSTACK_AGENT_CA")
# Whoever listens on all addresses is reached at loopback too.
_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(DSTACK_BIND, DSTACK_BIND)
_NEAR = f"[{_NEAR}]" if ":" in _NEAR else _NEAR
DSTACK_GATEWAY_URL = env.url("DSTACK_GATEWAY_URL") or f"http://{_NEAR}:{DSTACK_GATEWAY_PORT}"
DSTACK_GATEWAY_DOMAIN = env.text("DSTACK_GATEWAY_DOMAIN")
DSTACK_GATEWAY_TLS_PORT = env.whole("DSTACK_GATEWAY_TLS_PORT")
DSTACK_GATEWAY_SSH_PORT = env.whole("DSTACK_GATEWAY_SSH_PORT")
DSTACK_GATEWAY_MACHINES_SHARE_PORT = env.switch("DSTACK_GATEWAY_MACHINES_SHARE_PORT")
DSTACK_GATEWAY_SCHEME = env.text("DSTACK_GATEWAY_SCHEME")
DSTACK_GATEWAY_ACME_URL = env.url("DSTACK_GATEWAY_ACME_URL")
DSTACK_GATEWAY_ACME_EMAIL = env.text("DSTACK_GATEWAY_ACME_EMAIL")
DSTACK_GATEWAY_ACME_CA = env.text("DSTACK_GATEWAY_ACME_CA")
DSTACK_GATEWAY_DNS_HOOK = env.text("DSTACK_GATEWAY_DNS_HOOK")
DSTACK_GATEWAY_DNS_SECONDS = env.whole("DSTACK_GATEWAY_DNS_SECONDS")
DSTACK_METRICS_TOKEN = env.text("DSTACK_METRICS_TOKEN")
DSTACK_AZURE_PRICES = env.switch("DSTACK_AZURE_PRICES")
DSTACK_HUB_URL = env.url("DSTACK_HUB_URL")
DSTACK_BASE_IMAGE = env.text("DSTACK_BASE_IMAGE")
DSTACK_GPU_BASE_IMAGE = env.text("DSTACK_GPU_BASE_IMAGE")
DSTACK_TRUSTED_PROXIES = env.networks("DSTACK_TRUSTED_PROXIES")
DSTACK_HOST_NETWORKS = env.networks("DSTACK_HOST_NETWORKS")
DSTACK_BEHIND_FRONT = env.switch("DSTACK_BEHIND_FRONT")
DSTACK_VOLUME_PATHS = env.words("DSTACK_VOLUME_PATHS")
DSTACK_ALLOW_UNISOLATED = env.switch("DSTACK_ALLOW_UNISOLATED")
DSTACK_CACHE_KEEP_SECONDS = env.seconds("DSTACK_CACHE_KEEP")
DSTACK_CACHE_DISK_GB = env.whole("DSTACK_CACHE_DISK_GB")
DSTACK_UPLOAD_LIMIT_MB = env.whole("DSTACK_UPLOAD_LIMIT_MB")
DSTACK_UPLOADS_QUOTA_MB = env.whole("DSTACK_UPLOADS_QUOTA_MB")
DSTACK_UPLOAD_GRACE_HOURS = env.whole("DSTACK_UPLOAD_GRACE_HOURS")
DSTACK_REPLICAS_LIMIT = env.whole("DSTACK_REPLICAS_LIMIT")
DSTACK_PROJECTS_PER_USER = env.whole("DSTACK_PROJECTS_PER_USER")
DSTACK_TOKENS_PER_USER = env.whole("DSTACK_TOKENS_PER_USER")
DSTACK_START_DEADLINE_SECONDS = env.whole("DSTACK_START_DEADLINE_SECONDS")
DSTACK_BROWSER_SESSION_SECONDS = env.seconds("DSTACK_BROWSER_SESSION")
DSTACK_BOOT_DEADLINE_SECONDS = env.seconds("DSTACK_BOOT_DEADLINE")
DSTACK_MACHINE_SILENCE_SECONDS = env.seconds("DSTACK_MACHINE_SILENCE")
DSTACK_UNKNOWN_MACHINE_GRACE_SECONDS = env.seconds("DSTACK_UNKNOWN_MACHINE_GRACE")
DSTACK_HISTORY_DAYS = env.whole("DSTACK_HISTORY_DAYS")
DSTACK_RUN_VERSIONS = env.whole("DSTACK_RUN_VERSIONS")
DSTACK_LOG_DAYS = env.whole("DSTACK_LOG_DAYS")
DSTACK_METRIC_DAYS = env.whole("DSTACK_METRIC_DAYS")
DSTACK_REQUEST_HOURS = env.whole("DSTACK_REQUEST_HOURS")
DSTACK_LOG_BYTES_PER_RUN = env.whole("DSTACK_LOG_BYTES_PER_RUN")

# People, agents and what runs on this machine may call it by different names.
_URLS = (DSTACK_PUBLIC_URL, DSTACK_AGENT_URL, DSTACK_LOCAL_URL)
_named = [urlsplit(url).hostname or "127.0.0.1" for url in _URLS]
ALLOWED_HOSTS = [
    *("127.0.0.1", "localhost", "[::1]"),
    *(f"[{host}]" if ":" in host else host for host in _named),
    *env.words("DSTACK_ALLOWED_HOSTS"),
]
CSRF_TRUSTED_ORIGINS = [DSTACK_PUBLIC_URL]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "template_partials",
    "ninja",
    "apps.core",
    "apps.accounts",
    "apps.backends",
    "apps.offers",
    "apps.instances",
    "apps.gateways",
    "apps.hosts",
    "apps.runs",
    "apps.chat_templates",
    "apps.routing",
    "apps.telemetry",
    "apps.autoscaling",
    "dstack_web",
]

# Every middleware here is async-capable (a test checks it): one that is not would move each live
# stream onto a thread of its own. That is why static files are served by granian, not WhiteNoise.
MIDDLEWARE = [
    "dstack_web.web.api_errors.answer_in_json",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "dstack_web.urls"
ASGI_APPLICATION = "dstack_web.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [data_path("templates", "_templates")],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "dstack_web.web.frame.frame",
            ],
        },
    }
]


# A server that vanished with its address (a failover, a network that swallows) is given up after
# 25 s, where the kernel alone would wait for a quarter of an hour, with every worker's threads.
# libpq heeds these on TCP only.
DATABASE_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}


def database(url: str) -> dict[str, Any]:
    """Turn `postgresql://user:password@host:port/name` into Django's form.

    A unix socket is written `postgresql://user@/name?host=/folder`. Connections come from
    psycopg's pool: persistent connections leak one per request under ASGI.
    """
    parts = urlsplit(url)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    pool_max = env.whole("DSTACK_DB_POOL")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.pop("host", "")) or parts.hostname or "",
        "PORT": str(parts.port or query.pop("port", "")),
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            **DATABASE_PATIENCE,
            **{key: unquote(value) for key, value in query.items()},
            "pool": {"min_size": 0, "max_size": pool_max, "timeout": 10} if pool_max else False,
        },
    }


DATABASES = {"default": database(env.text("DATABASE_URL") or "postgresql:///dstack")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL") or "redis://127.0.0.1:6379/0"

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["apps.accounts.hashers.Argon2InTurn"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:sign_in"

# The gateway strips these two cookies and its own, so that a service never sees a session.
SESSION_COOKIE_NAME = "dstack_session"
CSRF_COOKIE_NAME = "dstack_csrf"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = DSTACK_PUBLIC_URL.startswith("https://")
CSRF_COOKIE_HTTPONLY = False
CSRF_FAILURE_VIEW = "dstack_web.web.views.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.constants.SELF],
        "script-src": [csp.constants.SELF, csp.constants.NONCE],
        # CodeMirror writes its theme into a style element of its own, which takes a nonce; uPlot
        # and Tabler position elements with style attributes.
        "style-src": [csp.constants.SELF, csp.constants.NONCE],
        "style-src-attr": [csp.constants.UNSAFE_INLINE],
        "img-src": [csp.constants.SELF, "data:"],
        "connect-src": [csp.constants.SELF],
        "font-src": [csp.constants.SELF],
        "object-src": [csp.constants.NONE],
        "base-uri": [csp.constants.NONE],
        "form-action": [csp.constants.SELF],
        "frame-ancestors": [csp.constants.NONE],
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
# A wheel carries the collected files, so there is nothing left to collect from.
_packaged = Path(__file__).parent / "_static"
_collected = _packaged if _packaged.is_dir() else BASE_DIR / "staticfiles"
STATIC_ROOT = Path(env.text("DSTACK_STATIC_ROOT") or _collected)
STATICFILES_DIRS = [] if _packaged.is_dir() else [BASE_DIR / "static"]

STORAGES = {
    "default": {
        "BACKEND": env.text("DSTACK_BLOB_STORAGE"),
    },
    "staticfiles": {"BACKEND": "dstack_web.web.static_files.StaticFiles"},
}
MEDIA_ROOT = SERVER_DIR / "blobs"
FILE_UPLOAD_TEMP_DIR = None
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 2**20

CELERY_TASK_IGNORE_RESULT = True
# The one URL of a unix socket that redis-py and Celery write differently.
CELERY_BROKER_URL = re.sub(r"^unix://", "redis+socket://", REDIS_URL)
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_ROUTES = {
    "apps.backends.tasks.*": {"queue": "outside"},
    "apps.hosts.tasks.*": {"queue": "outside"},
    "apps.instances.tasks.*": {"queue": "outside"},
    "apps.gateways.machines.tasks.*": {"queue": "outside"},
    "apps.chat_templates.tasks.*": {"queue": "outside"},
    "apps.offers.catalog.tasks.*": {"queue": "outside"},
    # It deletes files.
    "apps.runs.tasks.prune": {"queue": "outside"},
    # It takes its time.
    "dstack_web.tasks.prune_history": {"queue": "outside"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Without max_retries whoever wakes a task waits 6 s for a broker that is away (measured); workers
# reconnect by a loop of their own.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "max_retries": 0,
    "socket_connect_timeout": 0.5,
    # A broker that hangs would hold up whoever wakes a task for ever.
    "socket_timeout": 2.0,
}
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = "UTC"
# What is printed goes to the log as it is; through a logger, a line that a full disk does not take
# would be printed again, for ever.
CELERY_WORKER_REDIRECT_STDOUTS = False

# A line that cannot be written (the disk is full) is lost, and costs no traceback that cannot be
# written either.
logging.raiseExceptions = False
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("DSTACK_LOG_LEVEL")},
    "loggers": {
        # It warns, with a traceback, of each refusal that has no body.
        "azure": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # A tick of beat that a busy worker comes to too late expires, as it should.
        "celery.worker.request": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
