"""Text in every colour of the style sheet can be read on every ground it stands on."""

import re

import pytest

from tests.environment import BASE

CSS = (BASE / "static" / "app.css").read_text()
LIGHT = CSS[: CSS.index("@media (prefers-color-scheme: dark)")]
DARK = CSS[len(LIGHT) : CSS.index("* { box-sizing")]
GROUNDS = ("bg", "surface", "sunken")
TEXTS = ("text", "muted", "faint", "accent", "ok", "warn", "bad", "wait")
ON_THEIR_OWN = [
    ("accent-text", "accent"),
    *((name, f"{name}-soft") for name in ("accent", "ok", "warn", "bad", "wait")),
    ("text", "warn-soft"),
    ("text", "bad-soft"),
    ("text", "accent-soft"),
    ("del-text", "del"),
    ("ins-text", "ins"),
]
PAIRS = [(text, ground) for text in TEXTS for ground in GROUNDS] + ON_THEIR_OWN


def tokens(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", css))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_does() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_has_the_contrast_that_reading_needs(scheme: str, text: str, ground: str) -> None:
    found = tokens({"light": LIGHT, "dark": DARK}[scheme])
    assert contrast(found[text], found[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_of_dimensions_and_arms_stand_out(scheme: str) -> None:
    found = tokens({"light": LIGHT, "dark": DARK}[scheme])
    for name in (n for n in found if n.startswith(("dim-", "arm-"))):
        assert contrast(found[name], found["surface"]) >= 3, name


def test_both_schemes_have_the_same_colours() -> None:
    assert set(tokens(LIGHT)) == set(tokens(DARK))


def test_colours_stand_in_the_tokens_only() -> None:
    rest = CSS[CSS.index("* { box-sizing") :]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", rest)
