"""Tells requests from answers, by how they open and by what English requests say."""

import re

from alignment.method.language import language, script

QUESTION_MARKS = "?\uff1f\u061f"  # Latin, full width, Arabic
_OPENERS = re.compile(
    r"(sure|certainly|of course|absolutely|here is|here's|here are|answer\s*:|as an ai\b"
    r"|as a language model|i(?: am|'m) (?:\w+ )?(?:sorry|afraid)(?:,| but| that)|sorry,"
    r"|i apologi[sz]e|it(?: is|'s) not (?:appropriate|accurate)|unfortunately, i\b"
    r"|(?:no, )?i(?: cannot| can't| can not| won't| will not|(?: am|'m) (?:unable|not able) to)"
    r" (?:help|assist|provide|comply|fulfil|answer|do that|support|create|write|generate|share"
    r"|give|suggest|satisfy))",
    re.IGNORECASE,
)
# What opens a request at the start of a text. Instructions hold some of these too (add, use), but
# not as their first word.
_FIRST = (
    "how what whats why who whom whose where when which is are am do does did can could should"
    " would will may might act add arrange build change check choose come convert correct count"
    " edit fill find finish fix follow generate get imagine insert keep let's make order pick plan"
    " play predict prepare pretend program put rank remove replace say solve sort take talk train"
    " try turn use"
)
# What asks for a text where it opens any sentence.
_ORDERS = (
    "advise analyse analyze answer assess brainstorm calculate cite classify compare compose"
    " construct craft create define demonstrate describe design detail develop discuss draft"
    " elaborate estimate evaluate examine expand explain explore formulate give guide help identify"
    " illustrate instruct interpret introduce investigate list name offer outline paraphrase"
    " produce propose provide recommend rephrase reply report respond review rewrite share show"
    " simplify specify state suggest summarise summarize teach tell translate walk write"
)
_ASKS = re.compile(
    rf"\A\W*(?:{'|'.join(_FIRST.split())})\b"
    r"|(?:\A|[.!?:,\n]|\b(?:and|then|please|kindly|also|but|\w+ly|in \w+ terms))[\s\"'(*-]*"
    rf"(?:{'|'.join(_ORDERS.split())}|how (?:to|do|does|can|could|would|should)"
    r"|what (?:is|are|do|does|would|should|can))\b"
    r"|\bplease\b|\b(?:help|tell|show|give|teach|advise|walk) (?:me|us)\b|\blet me know\b"
    r"|\bi(?: am|'m|'d| would|'ve)? (?:also |really |just |only )?(?:want|need|like|wish|wonder"
    r"|wondering|curious|looking for|trying to|seeking|hope to|hoping)\b",
    re.IGNORECASE,
)


def asks(text: str) -> bool:
    """Whether a text asks for something: it has a question mark, or English words that do. In
    another language it may, for how that asks is not known here."""
    plain = text.replace("\u2019", "'")
    if any(mark in plain for mark in QUESTION_MARKS) or _ASKS.search(plain):
        return True
    return script(plain) != "LATIN" or language(plain) not in (None, "English")


def answering(text: str) -> str | None:
    """How a text opens, where that is how answers open."""
    found = _OPENERS.match(text.replace("\u2019", "'").lstrip(" \t\r\n\"'*"))
    return found.group() if found else None
