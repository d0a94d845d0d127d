"""The operator's list of endpoints, from MORA_ENDPOINTS: `NAME=URL [KEY_VARIABLE], ...`.

Only these addresses are ever spoken to. The key's variable is named, its value is read where the
request is made and stored nowhere.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mora_web.embedded.surroundings import SetupError

_ENTRY = re.compile(r"(?P<name>[\w.-]{1,100})=(?P<url>\S+)(?:\s+(?P<key>[A-Za-z_]\w*))?")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where an OpenAI-compatible API is, and the environment variable that holds its key."""

    url: str
    key_variable: str = ""


def parse_endpoints(text: str) -> dict[str, Endpoint]:
    """The endpoints by name; raises SetupError for an entry that is none."""
    found: dict[str, Endpoint] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        match = _ENTRY.fullmatch(entry)
        if match is None or not _is_address(match["url"]):
            raise SetupError(
                f"MORA_ENDPOINTS has {entry!r}: write NAME=URL, and after a space the name of the "
                "variable that holds the key."
            )
        if match["name"] in found:
            raise SetupError(f"MORA_ENDPOINTS names {match['name']!r} twice.")
        found[match["name"]] = Endpoint(url=match["url"], key_variable=match["key"] or "")
    return found


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        return False
