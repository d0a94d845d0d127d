"""API keys: made once, shown once, kept as a hash, and told apart by their prefix."""

import secrets
from datetime import timedelta
from hmac import compare_digest

from django.contrib.auth.models import User
from django.utils.timezone import now

from alignment.models import ApiKey
from alignment.services.names import check_name

START = "mora"
NOTED_EVERY = timedelta(minutes=1)


def create_api_key(*, user: User, name: str) -> tuple[ApiKey, str]:
    """A key of the user and its text, `mora_<prefix>_<secret>`, which cannot be shown again."""
    check_name("name of the key", name)
    prefix, secret = secrets.token_hex(6), secrets.token_hex(24)
    key = ApiKey.objects.create(user=user, name=name, prefix=prefix, sha256=ApiKey.hash_of(secret))
    return key, f"{START}_{prefix}_{secret}"


def user_of(text: str) -> User | None:
    """The active user whose key this is, if it is one and not revoked; notes its use."""
    start, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if start != START or not secret or not rest.isascii() or "\x00" in rest:
        return None
    key = ApiKey.objects.select_related("user").filter(prefix=prefix, revoked_at=None).first()
    if key is None or not compare_digest(key.sha256, ApiKey.hash_of(secret)):
        return None
    if not key.user.is_active:
        return None
    if key.last_used_at is None or key.last_used_at < now() - NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now())
    return key.user


def revoke_api_key(*, key: ApiKey) -> None:
    """End a key; on one that has ended it does nothing."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now())
