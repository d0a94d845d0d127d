"""Settings, from environment variables. The defaults run all of it on one machine.

DATABASE_URL, CELERY_BROKER_URL and MORA_VAR move the record, the doorbell and the files;
docs/operations.md lists every variable.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import plotly
from csp.constants import NONE, SELF, UNSAFE_INLINE
from django.core.management.utils import get_random_secret_key
from kombu.transport import TRANSPORT_ALIASES
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from mora_web.embedded.location import location, var_directory
from mora_web.embedded.surroundings import SetupError, folder_errors
from mora_web.endpoints import parse_endpoints

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = var_directory(BASE_DIR)


def _secret_key() -> str:
    """From the environment, else kept in a file that only its owner reads."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = VAR / "secret_key"
    with folder_errors(VAR):
        if not path.exists():
            VAR.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}")
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(get_random_secret_key())
            with suppress(FileExistsError):  # another process of this console was first
                os.link(aside, path)
            aside.unlink()
        return path.read_text()


def _number(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        return float(text)
    except ValueError:
        raise SetupError(f"{name}={text} is not a number.") from None


def _database(url: str) -> dict[str, object]:
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError as error:
        raise SetupError("DATABASE_URL is not a postgresql:// URL.") from error
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": {"connect_timeout": 5, **parts, **_pool()},
        "CONN_HEALTH_CHECKS": True,
    }


def _pool() -> dict[str, object]:
    """Connections that a process with many short-lived threads keeps open, as the web does."""
    size = int(_number("DATABASE_POOL", 0))
    return {"pool": {"min_size": 1, "max_size": size, "timeout": 10}} if size else {}


DEBUG = os.environ.get("DEBUG") == "1"
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = list(filter(None, os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",")))

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_htmx",
    "ninja",
    "alignment",
    "workers",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "mora_web.urls"
ASGI_APPLICATION = "mora_web.asgi.application"
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
            ]
        },
    }
]

DATABASE_URL = os.environ.get("DATABASE_URL", "")
_embedded = None if DATABASE_URL else location(BASE_DIR)
DATABASES = {"default": _database(_embedded.url if _embedded else DATABASE_URL)}
# Where the embedded database's reserve of disk is kept; others are their operators' to watch.
RESERVE = _embedded.data.parent if _embedded else None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or "filesystem://localhost//"
if CELERY_BROKER_URL.partition("://")[0].partition("+")[0] not in TRANSPORT_ALIASES:
    raise SetupError("CELERY_BROKER_URL is not a URL like redis:// or amqp://.")
if CELERY_BROKER_URL.startswith("filesystem:"):
    _messages, _control = VAR / "broker" / "messages", VAR / "broker" / "control"
    with folder_errors(VAR):
        for _folder in (_messages, _control):  # kombu makes neither
            _folder.mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_messages),
        "data_folder_out": str(_messages),
        "control_folder": str(_control),
        "polling_interval": 0.05,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 10}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "cpu"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONSUMER = "workers.bells:Consumer"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

ARTIFACTS = Path(os.environ.get("MORA_ARTIFACTS", VAR / "artifacts")).resolve()
MODEL_ROOTS = [Path(p) for p in os.environ.get("MODEL_ROOTS", "").split(":") if p] + [ARTIFACTS]
ENGINE_THREADS = int(_number("ENGINE_THREADS", 2))
# Endpoints by name: the only addresses that models are asked at.
ENDPOINTS = parse_endpoints(os.environ.get("MORA_ENDPOINTS", ""))
ENDPOINT_CONCURRENCY = int(_number("ENDPOINT_CONCURRENCY", 16))
ENDPOINT_SECONDS = _number("ENDPOINT_SECONDS", 120)
# The interpreter of the environment that vLLM is installed in.
VLLM_PYTHON = os.environ.get("VLLM_PYTHON", sys.executable)
# The share of the GPU's memory (or the machine's, without one) that vLLM takes.
VLLM_MEMORY = _number("VLLM_MEMORY", 0.9)
# Accelerate configs by name, for training in several processes: `NAME=FILE,...`.
ACCELERATE = {
    name.strip(): Path(file.strip())
    for name, _, file in (
        entry.partition("=") for entry in os.environ.get("MORA_ACCELERATE", "").split(",")
    )
    if name.strip()
}
# Rule judges: `NAME=MODULE:FUNCTION,...`.
RULES = os.environ.get("MORA_RULES", "")
# Whether a judge may run the code that comes with its model.
REMOTE_CODE = os.environ.get("MORA_REMOTE_CODE") == "1"

STATIC_URL = "static/"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("plotly", Path(plotly.__file__).parent / "package_data"),
]
WHITENOISE_USE_FINDERS = True

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "projects"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = os.environ.get("HTTPS") == "1"
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE
SECURE_HSTS_SECONDS = 31_536_000 if SESSION_COOKIE_SECURE else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        # Plotly positions its drawing with inline style attributes.
        "style-src-attr": [UNSAFE_INLINE],
    }
}

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"celery.worker.strategy": {"level": "WARNING"}},
}
