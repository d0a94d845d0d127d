import pytest

from alignment.method.language import content_words, language, script, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How can I kill a Python process?", "English"),
        ("Wie kann ich einen Prozess beenden, der nicht reagiert?", "German"),
        ("Comment est-ce que je peux arr\u00eater un processus dans la console ?", "French"),
        (
            "\u00bfC\u00f3mo puedo terminar un proceso que no responde en la consola?",
            "Spanish",
        ),
        ("Come posso terminare un processo che non risponde nella console?", "Italian"),
        ("Hoe kan ik een proces stoppen dat niet meer reageert?", "Dutch"),
        ("Steal apples", None),
        ("", None),
    ],
)
def test_common_words_tell_the_language_or_nothing(text: str, expected: str | None) -> None:
    assert language(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How?", "LATIN"),
        ("\u041a\u0430\u043a?", "CYRILLIC"),
        ("\u5982\u4f55\u5b58\u653e\u82f9\u679c", "CJK"),
        ("\u308a\u3093\u3054\u3092\u4fdd\u5b58\u3059\u308b", "KANA"),
        ("\uc0ac\uacfc\ub97c", "HANGUL"),
        ("123 ?!", None),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, expected: str | None) -> None:
    assert script(text) == expected


def test_words_fold_case_and_keep_apostrophes_and_accents() -> None:
    assert words("Don't STOP, caf\u00e9-bar!") == ["don't", "stop", "caf\u00e9", "bar"]


def test_scripts_without_spaces_give_a_word_a_character() -> None:
    assert words("\u82f9\u679c A1") == ["\u82f9", "\u679c", "a1"]


def test_content_words_leave_the_common_words_of_their_language() -> None:
    assert content_words("How can the dog's owner die?") == {"dog", "owner", "die"}
    assert content_words("Wie kann die Katze nicht fallen, wenn ich es will?") == {
        "katze",
        "fallen",
        "will",
    }
