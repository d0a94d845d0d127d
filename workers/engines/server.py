"""One request to an OpenAI-compatible server: what is sent, when it is sent again, and what a
failure means. A failure of this request alone is `Failed`, or `Refused` where it could never pass;
one that any request would meet (key, model, address) is a MoraError that names cause and remedy.
"""

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx2
import openai

from alignment.method.errors import MoraError
from workers.engines import keys, replies

log = logging.getLogger("mora.endpoint")
TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds, doubling; a server's Retry-After comes before
LONGEST_BODY = 16_000_000  # bytes of an answer; more is not read
LONGEST_QUOTE = 300  # characters of what a server says
NO_KEY = "none"  # the client wants one; a server without keys ignores it
# What a server may not know, and what is sent instead.
OPTIONAL = {"seed": "", "max_tokens": "max_completion_tokens"}
# What servers say of a text that they take at no time; whatever else they call bad (a key, a spent
# credit, a model, a setting) may be so of every request, and may change.
TOO_LONG = re.compile(
    r"context[ _](length|window|size)|too long|(prompt|input|request|text)s? (is|are) too large"
    r"|too many (input )?tokens|maximum[\w ]* length|must have less than \d+ tokens|tokens \+"
    r"|(prompt|input) tokens? .*exceed|reduce the length",
    re.IGNORECASE,
)
UNWANTED = re.compile(
    r"content[ _](filter|management|policy)|safety (system|filter)|usage polic|invalid_prompt",
    re.IGNORECASE,
)
AGAIN = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError)


class Failed(Exception):
    """A request that failed in all its tries and may pass another time; the message says how."""


class Refused(Failed):
    """A request that the server takes at no time, for what it holds."""


class _TooLong(openai.OpenAIError):
    """As one of the client's own errors, for those it hands on as they are."""


class _Bounded(httpx2.AsyncByteStream):
    """An answer's body up to a limit."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self.body:
            size += len(part)
            if size > LONGEST_BODY:
                raise _TooLong(f"it has over {LONGEST_BODY:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self.body.aclose()


async def _bound(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream)


@dataclass(kw_only=True)
class Server:
    """A model at a server. `seconds` limits one try of a request; `usage` counts up."""

    name: str
    url: str
    key_variable: str
    model: str
    seconds: float
    usage: dict[str, int] = field(default_factory=dict)
    _left_out: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.key = keys.read(self.name, self.key_variable) if self.key_variable else NO_KEY
        self.forget_usage()

    def forget_usage(self) -> None:
        self.usage = {"requests": 0, "retries": 0, "prompt_tokens": 0, "completion_tokens": 0}

    def client(self) -> openai.AsyncOpenAI:
        """No redirects and no proxy: only the address that the operator listed is spoken to."""
        http = openai.DefaultAsyncHttpx2Client(
            follow_redirects=False,
            trust_env=False,
            timeout=self.seconds,
            headers={"Accept-Encoding": "identity"},  # unpacked, a body could pass its limit
            event_hooks={"response": [_bound]},
        )
        return openai.AsyncOpenAI(
            base_url=self.url, api_key=self.key, max_retries=0, http_client=http
        )

    async def ask(
        self,
        client: openai.AsyncOpenAI,
        conversation: Any,
        seed: int,
        params: dict[str, Any],
        template_args: dict[str, Any],
    ) -> replies.Answer:
        """The server's answer. Raises Failed or MoraError."""
        tries = 0
        while True:
            request = self._request(conversation, seed, params, template_args)
            self.usage["requests"] += 1
            try:
                async with asyncio.timeout(self.seconds):
                    response = await _post(client, conversation, request)
                return self._answer(response, is_chat=not isinstance(conversation, str))
            except (*AGAIN, TimeoutError) as error:
                tries += 1
                if tries >= TRIES:
                    raise self._given_up(error) from None  # it may hold the key
                self.usage["retries"] += 1
                await asyncio.sleep(wait(error, tries))
            except openai.APIStatusError as error:
                if not self._leave_out(error, request):
                    raise self._refused(error) from None
            except (openai.OpenAIError, ValueError) as error:
                raise Failed(f"the answer cannot be read: {_told(error)}") from None

    def _request(
        self, conversation: Any, seed: int, params: dict[str, Any], template_args: dict[str, Any]
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "temperature": params["temperature"],
            "top_p": params["top_p"],
            "max_tokens": params["max_new_tokens"],
            "seed": seed,
        }
        if top := params.get("logprobs", 0):
            is_text = isinstance(conversation, str)
            request |= {"logprobs": top} if is_text else {"logprobs": True, "top_logprobs": top}
        if template_args:
            request["chat_template_kwargs"] = template_args
        for name in self._left_out:
            value = request.pop(name)
            if OPTIONAL[name]:
                request[OPTIONAL[name]] = value
        return request

    def _leave_out(self, error: openai.APIStatusError, request: dict[str, Any]) -> bool:
        """Whether the server did not know an optional parameter, which is left out from now on."""
        told = f"{error.param or ''} {_told(error)}"
        unknown = [
            name
            # A server also names max_tokens when it only says that the text is too long.
            for name, instead in OPTIONAL.items()
            if name in request and name in told and instead in told
        ]
        if error.status_code not in (400, 422) or not unknown:
            return False
        log.info("endpoint %s does not take %s", self.name, unknown[0])
        self._left_out.add(unknown[0])
        return True

    def _answer(self, response: httpx2.Response, *, is_chat: bool) -> replies.Answer:
        """The answer where it is one; a proxy's or a web server's page is not."""
        if response.content.lstrip().startswith(b"<"):
            raise MoraError(self._html())
        try:
            return replies.parse(response.content, is_chat=is_chat)
        except replies.Unusable as error:
            raise Failed(_quoted(str(error))) from None

    def _html(self) -> str:
        return (
            f"The endpoint {self.name} at {self.url} answers with HTML, so no API is there; "
            "correct its address in MORA_ENDPOINTS (it usually ends in /v1)."
        )

    def _refused(self, error: openai.APIStatusError) -> Exception:
        """What a status that is not worth a second try means."""
        code, told = error.status_code, _told(error)
        if code in (401, 403):
            return MoraError(
                f"The endpoint {self.name} refuses the key in {self.key_variable or 'no variable'} "
                f"({told}); set the right one where the workers start."
            )
        if 300 <= code < 400:
            where = _quoted(error.response.headers.get("location", "nowhere"))
            return MoraError(
                f"The endpoint {self.name} redirects to {where}; name the final address in "
                "MORA_ENDPOINTS."
            )
        if code != 413 and error.response.text.lstrip().startswith("<"):
            return MoraError(self._html())
        if code == 404:
            return MoraError(
                f"The endpoint {self.name} does not know the model {self.model!r} ({told}); name "
                "one that it serves."
            )
        said = f"{error.code or ''} {_message(error)}"
        if code == 413 or (code in (400, 422) and TOO_LONG.search(said)):
            return Refused(f"{told.rstrip('.')}: shorten it, or lower max_new_tokens")
        return Refused(told) if UNWANTED.search(said) else Failed(told)

    def _given_up(self, error: Exception) -> Exception:
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return Failed(f"no answer in {self.seconds:g} s, {TRIES} times")
        if isinstance(error, openai.APIConnectionError):
            return MoraError(
                f"The endpoint {self.name} at {self.url} cannot be reached "
                f"({_told(error.__cause__ or error)}); start it or correct MORA_ENDPOINTS, then "
                "retry."
            )
        return Failed(f"{_told(error)}, {TRIES} times")


async def _post(
    client: openai.AsyncOpenAI, conversation: Any, request: dict[str, Any]
) -> httpx2.Response:
    is_text = isinstance(conversation, str)
    path, given = ("/completions", "prompt") if is_text else ("/chat/completions", "messages")
    return await client.post(path, body={given: conversation, **request}, cast_to=httpx2.Response)


def wait(error: Exception, tries: int) -> float:
    """Seconds before the next try: what the server asks for, else doubling; with jitter."""
    asked = _retry_after(error)
    if asked is not None:
        return min(asked, LONGEST_WAIT) + random.uniform(0, FIRST_WAIT)
    return min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT) * random.uniform(0.5, 1)


def _retry_after(error: Exception) -> float | None:
    """Seconds that a Retry-After header names, as a number or as a date."""
    if not isinstance(error, openai.APIStatusError):
        return None
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _told(error: BaseException) -> str:
    """What an error says; of a server's own, what that says, and its status."""
    if not isinstance(error, openai.APIStatusError):
        return _quoted(str(error) or type(error).__name__)
    return _quoted(f"HTTP {error.status_code}: {_message(error)}")


def _message(error: openai.APIStatusError) -> str:
    return replies.error_message({"error": error.body}) or error.response.text


def _quoted(text: str) -> str:
    """The text's first line as a sentence can hold it; keys are masked before it is cut."""
    first: str = keys.masked((text.strip().splitlines() or [""])[0])
    quoted = first[:LONGEST_QUOTE]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in quoted)
