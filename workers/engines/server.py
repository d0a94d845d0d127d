"""One request to an OpenAI-compatible server: what is sent, when it is sent again, and what a
failure means. A failure of this request alone is `Failed`; one that any request would meet (key,
model, address) is a MoraError that names cause and remedy.
"""

import asyncio
import logging
import os
import random
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import openai

from alignment.method.errors import MoraError

log = logging.getLogger("mora.endpoint")
TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds, doubling; a server's Retry-After comes before
NO_KEY = "none"  # the client wants one; a server without keys ignores it
# What a server may not know, and what is sent instead.
OPTIONAL = {"seed": "", "max_tokens": "max_completion_tokens"}
AGAIN = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError)


class Failed(Exception):
    """A request that failed for good; the message says how."""


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
        self.key = os.environ.get(self.key_variable, "") if self.key_variable else NO_KEY
        if not self.key:
            raise MoraError(
                f"The key of endpoint {self.name} is missing: set {self.key_variable} where the "
                "workers start."
            )
        self.forget_usage()

    def forget_usage(self) -> None:
        self.usage = {"requests": 0, "retries": 0, "prompt_tokens": 0, "completion_tokens": 0}

    def client(self) -> openai.AsyncOpenAI:
        """No redirects and no proxy: only the address that the operator listed is spoken to."""
        http = openai.DefaultAsyncHttpx2Client(
            follow_redirects=False, trust_env=False, timeout=self.seconds
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
    ) -> Any:
        """The server's answer. Raises Failed or MoraError."""
        tries = 0
        while True:
            request = self._request(conversation, seed, params, template_args)
            self.usage["requests"] += 1
            try:
                async with asyncio.timeout(self.seconds):
                    return self._checked(await _create(client, conversation, request))
            except (*AGAIN, TimeoutError) as error:
                tries += 1
                if tries >= TRIES:
                    raise self._given_up(error) from error
                self.usage["retries"] += 1
                await asyncio.sleep(wait(error, tries))
            except openai.APIStatusError as error:
                if not self._leave_out(error, request):
                    raise self._refused(error) from error
            except (openai.OpenAIError, ValueError) as error:
                raise Failed(f"the answer cannot be read: {_first_line(error)}") from error

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
            request["extra_body"] = {"chat_template_kwargs": template_args}
        for name in self._left_out:
            value = request.pop(name)
            if OPTIONAL[name]:
                request[OPTIONAL[name]] = value
        return request

    def _leave_out(self, error: openai.APIStatusError, request: dict[str, Any]) -> bool:
        """Whether the server did not know an optional parameter, which is left out from now on."""
        told = f"{error.param or ''} {_first_line(error)}"
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

    def _checked(self, answer: Any) -> Any:
        """The answer where it is one; a proxy's or a web server's page is not."""
        if isinstance(answer, str) or not getattr(answer, "choices", None):
            if str(answer).lstrip().startswith("<"):
                raise MoraError(self._html())
            raise Failed(f"the answer holds no choice: {str(answer)[:60]!r}")
        return answer

    def _html(self) -> str:
        return (
            f"The endpoint {self.name} at {self.url} answers with HTML, so no API is there; "
            "correct its address in MORA_ENDPOINTS (it usually ends in /v1)."
        )

    def _refused(self, error: openai.APIStatusError) -> Exception:
        """What a status that is not worth a second try means."""
        code, told = error.status_code, _first_line(error)
        if code in (401, 403):
            return MoraError(
                f"The endpoint {self.name} refuses the key in {self.key_variable or 'no variable'} "
                f"({told}); set the right one where the workers start."
            )
        if 300 <= code < 400:
            return MoraError(
                f"The endpoint {self.name} redirects to {error.response.headers.get('location')}; "
                "name the final address in MORA_ENDPOINTS."
            )
        if error.response.text.lstrip().startswith("<"):
            return MoraError(self._html())
        if code == 404:
            return MoraError(
                f"The endpoint {self.name} does not know the model {self.model!r} ({told}); name "
                "one that it serves."
            )
        return Failed(told)

    def _given_up(self, error: Exception) -> Exception:
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return Failed(f"no answer in {self.seconds:g} s, {TRIES} times")
        if isinstance(error, openai.APIConnectionError):
            return MoraError(
                f"The endpoint {self.name} at {self.url} cannot be reached "
                f"({error.__cause__ or error}); start it or correct MORA_ENDPOINTS, then retry."
            )
        return Failed(f"{_first_line(error)}, {TRIES} times")


async def _create(client: openai.AsyncOpenAI, conversation: Any, request: dict[str, Any]) -> Any:
    if isinstance(conversation, str):
        return await client.completions.create(prompt=conversation, **request)
    return await client.chat.completions.create(messages=conversation, **request)


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
