"""A modest look at the words of a text: its script, its likely language, its content words.

Enough to tell that a rewrite changed language or lost what the prompt was about. It knows eight
languages by their commonest words and says nothing where it is not sure; it parses no grammar.
"""

import re
import unicodedata
from collections import Counter

# One token a word; scripts written without spaces give one token a character.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:'[^\W{_UNSPACED}]+)*")

_STOP_WORDS = {
    "English": "a about also an and any are as at be because been but by can could did do does for "
    "from had has have he her him his how i if in into is it its me my no not of on or our she "
    "should so some such than that the their them then there these they this to up us was we were "
    "what when where which who why will with would you your",
    "German": "aber als am an auch auf aus bei bin bis das dass dem den der des die du ein eine "
    "einem einen einer er es für hat ich ihr im in ist kann kein man mein mich mir mit nach nicht "
    "noch oder sich sie sind so um und uns vom von war was wenn wer wie wir zu zum zur",
    "French": "à au aux avec ce ces comment dans de des du elle en est et il ils je la le les leur "
    "mais me mes mon ne nous on ou où par pas pour qu que qui sa se ses son sont sur ta te tu un "
    "une vous",
    "Spanish": "al como con cómo de del el ella en es esta este está la las le lo los me mi mis no "
    "nos para pero por que qué se ser si sin son su sus te tu un una y yo",
    "Italian": "al alla anche che chi ci come con da dal del della di e è gli ho i il in io la le "
    "lo ma mi mio nel nella non per perché più quando se si sono su tu un una",
    "Portuguese": "ao as com como da das de do dos e ela ele em eu foi isso mais mas me meu minha "
    "na não no nos o os ou para pela pelo por que se sem seu sua um uma você",
    "Dutch": "aan als bij dat de der deze dit een en er het hij hoe ik in is je kan maar me met "
    "mijn naar niet nog of om ons ook op te tot uit van voor was wat we wie zal ze zich zijn",
    "Polish": "ale bez by być co czy dla do i ich ja jak jest już lub ma mi mnie na nie o od oraz "
    "po pod przez się są ta tak ten to tylko tym w we z za ze że",
}
STOP_WORDS = {name: frozenset(words.split()) for name, words in _STOP_WORDS.items()}


def words(text: str) -> list[str]:
    """Words in lower case, in order; a character each where the script has no spaces.

    Both apostrophes are one, and what does not show, such as a zero-width space, is not there.
    """
    shown = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return _TOKEN.findall(unicodedata.normalize("NFKC", shown).casefold().replace("\u2019", "'"))


def script(text: str) -> str | None:
    """The script of most letters, as Unicode names it (LATIN, CYRILLIC, ...); None without any.

    Japanese mixes scripts, so any kana among Chinese characters makes the text KANA.
    """
    letters = Counter(_script_of(c) for c in text if c.isalpha())
    if not letters:
        return None
    if letters["KANA"] and letters["KANA"] + letters["CJK"] > letters.total() / 2:
        return "KANA"
    return letters.most_common(1)[0][0]


def language(text: str) -> str | None:
    """The likely language of a text in Latin script; None where its common words do not tell.

    It tells when two words or more belong to one language and fewer to every other.
    """
    found = words(text)
    hits = {name: sum(w in stops for w in found) for name, stops in STOP_WORDS.items()}
    (best, most), (_, second) = Counter(hits).most_common(2)
    return best if most >= 2 and most > second else None


def content_words(text: str) -> frozenset[str]:
    """The different words of a text that carry its content, without common words.

    The common words are those of its own language, English where that is not clear.
    """
    common = STOP_WORDS[language(text) or "English"]
    return frozenset(w.removesuffix("'s") for w in words(text)) - common


def _script_of(letter: str) -> str:
    name = unicodedata.name(letter, "UNNAMED").split(" ")[0].split("-")[0]
    return "KANA" if name in {"HIRAGANA", "KATAKANA"} else name
