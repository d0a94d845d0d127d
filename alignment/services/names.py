"""Names that people give to things."""

from alignment.method.errors import MoraError


def check_name(what: str, name: str) -> None:
    """Raises MoraError unless the name has 1 to 100 characters that can be stored."""
    if not name.strip() or len(name) > 100 or "\x00" in name:
        raise MoraError(f"the {what} needs 1 to 100 characters")
