"""Environment -> frozen Settings. Nothing else in the code reads settings from the environment.

All faults are found in one pass and told in one message, which never holds a value that could be a secret.
"""

import difflib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from domain.base import setting_values
from domain.base.smtp_address import default_sender, sender

DEFAULT_PUBLIC_URL = "http://127.0.0.1:8000"
DEFAULT_DATA_DIR = ".planwire"
DEFAULT_FORWARDED_ALLOW_IPS: tuple[str, ...] = ("127.0.0.1",)
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("json", "console")
# Which documents are executed: any, or those of DOCUMENTS_FILE alone.
DOCUMENTS = ("any", "persisted")
SWITCH = ("on", "off")
# One connection for each of the two roles is the least. The embedded Postgres takes 200, for all processes together.
POOL_SIZE_MIN, POOL_SIZE_MAX = 2, 100
# LOGLEVEL and REDIS_URI are misspellings (0.89 and more); BASE_URL and SECRET_KEY_BASE (0.80) are somebody else's.
NEAR_MISS = 0.88
# Every variable under these is ours, so one that is not known is a mistake.
OWN_PREFIXES = ("PLANWIRE_", "DATABASE_")
KNOWN = (
    "ALLOWED_ORIGINS",
    "AWS_ACCESS_KEY_ID",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "DATABASE_POOL_SIZE",
    "DATABASE_URL",
    "DOCUMENTS",
    "DOCUMENTS_FILE",
    "EVENT_CURSOR_DAYS",
    "FORWARDED_ALLOW_IPS",
    "INTROSPECTION",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAIL_FROM",
    "MESSAGES_PER_SECOND",
    "METRICS_TOKEN",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_CHAT_MODEL",
    "OPENAI_EMBEDDING_DIMENSIONS",
    "OPENAI_EMBEDDING_MODEL",
    "OPENAI_IMAGE_MODEL",
    "OPERATIONS_PER_SOCKET",
    "PLANWIRE_DATA",
    "PUBLIC_URL",
    "RATE_POINTS_MINUTE",
    "REDIS_URL",
    "RESEND_API_KEY",
    "S3_BUCKET",
    "S3_ENDPOINT_URL",
    "S3_STORAGE_CLASS",
    "SEARCH_LANGUAGE",
    "SECRET_KEY",
    "SLACK_WEBHOOK_URL",
    "SMTP_URL",
    "SOCKETS_PER_USER",
    "STRIPE_API_URL",
    "STRIPE_PRICE_BUSINESS",
    "STRIPE_PRICE_PRO",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
)
# A name that is like one of these is one of AWS too, so it is no mistake.
AWS_PREFIX = "AWS_"
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# None of them is of use without the others.
STRIPE_TOGETHER = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_PRICE_PRO", "STRIPE_PRICE_BUSINESS")
DEFAULT_STRIPE_API_URL = "https://api.stripe.com"
DEFAULT_OPENAI_BASE_URL = "https://api.openai.com/v1"
# As OPENAI_EMBEDDING_MODEL: texts are embedded on this machine, also beside a service that has no embeddings.
LOCAL_EMBEDDINGS = "local"
# As many as pgvector can index of its halfvec. Source: pgvector's README, HNSW.
DIMENSIONS_MAX = 4000
CURSOR_DAYS_MAX = 3650
RATE_POINTS_MAX = 1_000_000_000
# Beyond these a limit limits nothing.
SOCKETS_MAX = OPERATIONS_MAX = 10_000
MESSAGES_MAX = 100_000
T = TypeVar("T")


class SettingsError(Exception):
    """The environment cannot be used. The message has one line per fault."""


@dataclass(frozen=True)
class Settings:
    """What one process runs with. `embedded` says that no DATABASE_URL was given, also after one was filled in."""

    data_dir: Path
    embedded: bool
    # Kept out of the repr, which ends up in tracebacks and test reports: these hold passwords, or are ones.
    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    secret_key: str = field(repr=False)
    metrics_token: str | None = field(repr=False, default=None)
    smtp_url: str | None = field(repr=False, default=None)
    resend_api_key: str | None = field(repr=False, default=None)
    slack_webhook_url: str | None = field(repr=False, default=None)
    # The two keys and the two prices are all given, or none is.
    stripe_secret_key: str | None = field(repr=False, default=None)
    stripe_webhook_secret: str | None = field(repr=False, default=None)
    stripe_price_pro: str | None = None
    stripe_price_business: str | None = None
    stripe_api_url: str = DEFAULT_STRIPE_API_URL
    # None of those that follow is set without the bucket; both keys are given, or none is.
    s3_bucket: str | None = None
    s3_endpoint_url: str | None = None
    s3_storage_class: str | None = None
    aws_region: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = field(repr=False, default=None)
    aws_session_token: str | None = field(repr=False, default=None)
    # The names of models are read only where there is a key.
    openai_api_key: str | None = field(repr=False, default=None)
    openai_base_url: str = DEFAULT_OPENAI_BASE_URL
    openai_chat_model: str = "gpt-5.4-mini"
    openai_embedding_model: str = "text-embedding-3-small"
    openai_embedding_dimensions: int = 512
    openai_image_model: str = "gpt-image-2"
    mail_from: str = default_sender(DEFAULT_PUBLIC_URL)
    public_url: str = DEFAULT_PUBLIC_URL
    allowed_origins: tuple[str, ...] = (DEFAULT_PUBLIC_URL,)
    forwarded_allow_ips: tuple[str, ...] = DEFAULT_FORWARDED_ALLOW_IPS
    database_pool_size: int = 10
    event_cursor_days: int = 90
    rate_points_minute: int = 10_000
    documents: str = "any"
    documents_file: Path | None = None
    introspection: bool = True
    sockets_per_user: int = 20
    operations_per_socket: int = 100
    messages_per_second: int = 50
    search_language: str = "english"
    log_level: str = "info"
    log_format: str = "json"


def load(environ: Mapping[str, str], *, data_dir: Path | None = None) -> Settings:
    """Settings from environment variables; `data_dir` goes before PLANWIRE_DATA. An empty variable counts as absent.

    With neither DATABASE_URL nor SECRET_KEY a key is made and kept in the data directory, mode 0600.
    Raises SettingsError with one line per fault; nothing was written then.
    """
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    faults = _unknown(given)

    def read(name: str, parse: Callable[[str], T], default: T) -> T:
        if name not in given:
            return default
        try:
            return parse(given[name])
        except ValueError as fault:
            faults.append(f"{name}: {fault}")
            return default

    database_url = read("DATABASE_URL", setting_values.database_url, None)
    redis_url = read("REDIS_URL", setting_values.redis_url, None)
    secret_key = read("SECRET_KEY", setting_values.secret_key, "")
    public_url = read("PUBLIC_URL", setting_values.private_origin, DEFAULT_PUBLIC_URL)
    own_origin: tuple[str, ...] = (public_url,)
    allowed_origins = read("ALLOWED_ORIGINS", setting_values.origins, own_origin)
    forwarded_allow_ips = read("FORWARDED_ALLOW_IPS", setting_values.addresses, DEFAULT_FORWARDED_ALLOW_IPS)
    database_pool_size = read("DATABASE_POOL_SIZE", setting_values.whole(POOL_SIZE_MIN, POOL_SIZE_MAX), 10)
    event_cursor_days = read("EVENT_CURSOR_DAYS", setting_values.whole(1, CURSOR_DAYS_MAX), 90)
    rate_points_minute = read("RATE_POINTS_MINUTE", setting_values.whole(1, RATE_POINTS_MAX), 10_000)
    documents = read("DOCUMENTS", lambda value: setting_values.one_of(DOCUMENTS, value), "any")
    documents_file = read("DOCUMENTS_FILE", setting_values.documents_file, None)
    introspection = read("INTROSPECTION", lambda value: setting_values.one_of(SWITCH, value), "on") == "on"
    sockets_per_user = read("SOCKETS_PER_USER", setting_values.whole(1, SOCKETS_MAX), 20)
    operations_per_socket = read("OPERATIONS_PER_SOCKET", setting_values.whole(1, OPERATIONS_MAX), 100)
    messages_per_second = read("MESSAGES_PER_SECOND", setting_values.whole(1, MESSAGES_MAX), 50)
    metrics_token = read("METRICS_TOKEN", setting_values.metrics_token, None)
    smtp_url = read("SMTP_URL", setting_values.smtp_url, None)
    resend_api_key = read("RESEND_API_KEY", setting_values.key("re_..."), None)
    mail_from = read("MAIL_FROM", sender, default_sender(public_url))
    slack_webhook_url = read("SLACK_WEBHOOK_URL", setting_values.slack_webhook_url, None)
    stripe_secret_key = read("STRIPE_SECRET_KEY", setting_values.key("sk_..."), None)
    stripe_webhook_secret = read("STRIPE_WEBHOOK_SECRET", setting_values.key("whsec_..."), None)
    stripe_price_pro = read("STRIPE_PRICE_PRO", setting_values.key("price_..."), None)
    stripe_price_business = read("STRIPE_PRICE_BUSINESS", setting_values.key("price_..."), None)
    stripe_api_url = read("STRIPE_API_URL", setting_values.private_origin, DEFAULT_STRIPE_API_URL)
    s3_bucket = read("S3_BUCKET", setting_values.bucket, None)
    s3_endpoint_url = read("S3_ENDPOINT_URL", setting_values.private_origin, None)
    s3_storage_class = read("S3_STORAGE_CLASS", setting_values.storage_class, None)
    if "S3_BUCKET" not in given:
        # Many machines have these for something else.
        given = {name: value for name, value in given.items() if not name.startswith(AWS_PREFIX)}
    aws_region = read("AWS_REGION", setting_values.region, None)
    aws_access_key_id = read("AWS_ACCESS_KEY_ID", setting_values.key("AKIA..."), None)
    aws_secret_access_key = read("AWS_SECRET_ACCESS_KEY", setting_values.key("wJalr..."), None)
    aws_session_token = read("AWS_SESSION_TOKEN", setting_values.key("IQoJ..."), None)
    openai_api_key = read("OPENAI_API_KEY", setting_values.key("sk-..."), None)
    openai_base_url = read("OPENAI_BASE_URL", setting_values.base_url, DEFAULT_OPENAI_BASE_URL)
    openai_chat_model = read("OPENAI_CHAT_MODEL", setting_values.key("gpt-5.4-mini"), Settings.openai_chat_model)
    openai_embedding_model = read(
        "OPENAI_EMBEDDING_MODEL", setting_values.key("local"), Settings.openai_embedding_model
    )
    openai_embedding_dimensions = read(
        "OPENAI_EMBEDDING_DIMENSIONS", setting_values.whole(1, DIMENSIONS_MAX), Settings.openai_embedding_dimensions
    )
    openai_image_model = read("OPENAI_IMAGE_MODEL", setting_values.key("gpt-image-2"), Settings.openai_image_model)
    search_language = read("SEARCH_LANGUAGE", setting_values.search_language, Settings.search_language)
    log_level = read("LOG_LEVEL", lambda value: setting_values.one_of(LOG_LEVELS, value), "info")
    log_format = read("LOG_FORMAT", lambda value: setting_values.one_of(LOG_FORMATS, value), "json")

    if "PUBLIC_URL" in given and public_url not in allowed_origins:
        faults.append("ALLOWED_ORIGINS: does not hold PUBLIC_URL, so the product's own pages would be refused")
    if documents == "persisted" and "DOCUMENTS_FILE" not in given:
        faults.append("DOCUMENTS_FILE: required with DOCUMENTS=persisted; a JSON object of id and document")
    if missing := [name for name in STRIPE_TOGETHER if name not in given and given.keys() & set(STRIPE_TOGETHER)]:
        faults.append(f"{', '.join(missing)}: required with any other of {', '.join(STRIPE_TOGETHER)}")
    if stripe_price_pro is not None and stripe_price_pro == stripe_price_business:
        faults.append("STRIPE_PRICE_BUSINESS: is STRIPE_PRICE_PRO, so nobody could tell the plans apart")
    if "S3_BUCKET" not in given and (
        alone := [name for name in ("S3_ENDPOINT_URL", "S3_STORAGE_CLASS") if name in given]
    ):
        faults.append(f"S3_BUCKET: required with {', '.join(alone)}")
    if missing := [name for name in AWS_KEYS if name not in given and given.keys() & {*AWS_KEYS, "AWS_SESSION_TOKEN"}]:
        faults.append(f"{', '.join(missing)}: required with any other of {', '.join(AWS_KEYS)}, AWS_SESSION_TOKEN")
    if "S3_BUCKET" in given and not given.keys() & {"AWS_REGION", "S3_ENDPOINT_URL"}:
        faults.append("AWS_REGION: required with S3_BUCKET, unless S3_ENDPOINT_URL says where the bucket is")
    if "OPENAI_API_KEY" not in given and any(name.startswith("OPENAI_") for name in given.keys() & set(KNOWN)):
        faults.append("OPENAI_API_KEY: required with any other setting of OPENAI_")
    if given.get("OPENAI_EMBEDDING_MODEL", LOCAL_EMBEDDINGS) != LOCAL_EMBEDDINGS and (
        "OPENAI_EMBEDDING_DIMENSIONS" not in given
    ):
        faults.append("OPENAI_EMBEDDING_DIMENSIONS: required with OPENAI_EMBEDDING_MODEL; how many its vectors have")
    embedded = "DATABASE_URL" not in given
    if not embedded and "SECRET_KEY" not in given:
        faults.append(
            f"SECRET_KEY: required with DATABASE_URL; at least {setting_values.SECRET_KEY_MIN_LENGTH} random characters"
        )
    directory = (data_dir or Path(given.get("PLANWIRE_DATA", DEFAULT_DATA_DIR))).absolute()
    if directory.exists() and not directory.is_dir():
        faults.append(f"{'--data' if data_dir else 'PLANWIRE_DATA'}: {directory} is not a directory")
    if not faults and embedded and not secret_key:
        try:
            secret_key = _kept_key(directory)
        except (OSError, ValueError) as fault:
            faults.append(f"SECRET_KEY: none given, and none can be kept in {directory}: {fault}")
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(
        data_dir=directory,
        embedded=embedded,
        database_url=database_url,
        redis_url=redis_url,
        secret_key=secret_key,
        metrics_token=metrics_token,
        smtp_url=smtp_url,
        resend_api_key=resend_api_key,
        slack_webhook_url=slack_webhook_url,
        stripe_secret_key=stripe_secret_key,
        stripe_webhook_secret=stripe_webhook_secret,
        stripe_price_pro=stripe_price_pro,
        stripe_price_business=stripe_price_business,
        stripe_api_url=stripe_api_url,
        s3_bucket=s3_bucket,
        s3_endpoint_url=s3_endpoint_url,
        s3_storage_class=s3_storage_class,
        aws_region=aws_region,
        aws_access_key_id=aws_access_key_id,
        aws_secret_access_key=aws_secret_access_key,
        aws_session_token=aws_session_token,
        openai_api_key=openai_api_key,
        openai_base_url=openai_base_url,
        openai_chat_model=openai_chat_model,
        openai_embedding_model=openai_embedding_model,
        openai_embedding_dimensions=openai_embedding_dimensions,
        openai_image_model=openai_image_model,
        mail_from=mail_from,
        public_url=public_url,
        allowed_origins=allowed_origins,
        forwarded_allow_ips=forwarded_allow_ips,
        database_pool_size=database_pool_size,
        event_cursor_days=event_cursor_days,
        rate_points_minute=rate_points_minute,
        documents=documents,
        documents_file=documents_file,
        introspection=introspection,
        sockets_per_user=sockets_per_user,
        operations_per_socket=operations_per_socket,
        messages_per_second=messages_per_second,
        search_language=search_language,
        log_level=log_level,
        log_format=log_format,
    )


def _unknown(given: Mapping[str, str]) -> list[str]:
    faults = []
    ours = [name for name in KNOWN if not name.startswith(AWS_PREFIX)]
    for name in sorted(given.keys() - set(KNOWN)):
        near = difflib.get_close_matches(name.upper(), ours, n=1, cutoff=NEAR_MISS)
        if near:
            faults.append(f"{name}: unknown setting, did you mean {near[0]}?")
        elif name.startswith(OWN_PREFIXES):
            faults.append(f"{name}: unknown setting; known are {', '.join(KNOWN)}")
    return faults


def _kept_key(directory: Path) -> str:
    """The key of a data directory, made on first use. Raises OSError; ValueError when the kept key is too short."""
    path = directory / "secret_key"
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = directory / f"secret_key.{secrets.token_hex(8)}"
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            # A link appears whole or not at all, and not over the key of a process that was faster.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)
    return setting_values.secret_key(path.read_text(encoding="ascii").strip())
