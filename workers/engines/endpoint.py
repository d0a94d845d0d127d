"""The `endpoint` engine: rollouts and replies of a model behind an OpenAI-compatible server.

Requests run side by side up to a bound. One that keeps failing is data, and so are all that the
server refuses for what they hold; where none of the others could succeed the call fails. Nothing is
loaded here.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import openai

from alignment.method.errors import MoraError
from workers.engines import keys
from workers.engines.engine import Engine, Spec
from workers.engines.replies import Answer
from workers.engines.server import Failed, Refused, Server

LONGEST_TOKEN, LONGEST_REPLY = 32, 1_000_000  # characters
CUT = " [cut here: longer than max_new_tokens allows]"


def load(spec: Spec) -> Engine:
    """The server is spoken to with the first call. Raises MoraError where its key is missing."""
    server = Server(
        name=spec["endpoint"],
        url=spec["url"],
        key_variable=spec["key_variable"],
        model=spec["model"],
        seconds=spec["seconds"],
    )
    endpoint = Endpoint(server, spec["concurrency"])
    return Engine(
        version=f"openai {openai.__version__}, {server.model} at {server.name}",
        calls={
            "sample": lambda args, progress: endpoint.sample(**args),
            "chat": lambda args, progress: endpoint.chat(**args),
        },
    )


class Endpoint:
    """A server and how many requests may run at it side by side."""

    def __init__(self, server: Server, concurrency: int) -> None:
        self.server = server
        self.concurrency = concurrency

    def sample(
        self, prompts: list[str], seeds: list[list[int]], params: dict[str, Any]
    ) -> dict[str, Any]:
        """Per prompt, one rollout a seed or its error; and the tokens used.

        One too long for `max_new_tokens` is cut and stopped by length, as it should have been.
        """
        pairs = zip(prompts, seeds, strict=True)
        turns = [[{"role": "user", "content": prompt}] for prompt, own in pairs for _ in own]
        found = self.chat(turns, [seed for own in seeds for seed in own], params, mark="")
        replies = iter(found["replies"])
        rollouts = [[next(replies) for _ in own] for own in seeds]
        return {"rollouts": rollouts, "usage": found["usage"]}

    def chat(
        self,
        conversations: list[Any],
        seeds: list[int],
        params: dict[str, Any],
        template_args: list[dict[str, Any]] | None = None,
        mark: str = CUT,
    ) -> dict[str, Any]:
        """Per conversation its reply or {"error": ...}; and the tokens used. A reply that is cut
        ends with the mark.

        Raises MoraError where the server cannot be used, or failed all of several requests that
        may pass another time. Refused ones are set aside: they say nothing of the server, a call
        may hold no others (a chunk's prompts are of like length), and a retry would not help.
        """
        self.server.forget_usage()
        given = template_args or [{} for _ in conversations]
        asked = list(zip(conversations, seeds, given, strict=True))
        found = asyncio.run(self._all(asked, params, mark))
        others = [one for one in found if not isinstance(one, Refused)]
        failed = [one for one in others if isinstance(one, Failed)]
        if failed and len(failed) == len(others) and len(found) > 1:
            raise MoraError(
                f"The endpoint {self.server.name} failed all of {len(failed)} requests; the last "
                f"one: {failed[-1]}. Look at the server, then retry."
            )
        replies = [{"error": str(one)} if isinstance(one, Failed) else one for one in found]
        return {"replies": replies, "usage": self.server.usage}

    async def _all(
        self, asked: Iterable[tuple[Any, int, dict[str, Any]]], params: dict[str, Any], mark: str
    ) -> list[dict[str, Any] | Failed]:
        gate = asyncio.Semaphore(self.concurrency)
        record = partial(self._record, most=longest_reply(params["max_new_tokens"]), mark=mark)
        async with self.server.client() as client:

            async def reply(
                conversation: Any, seed: int, args: dict[str, Any]
            ) -> dict[str, Any] | Failed:
                try:
                    async with gate:
                        answer = await self.server.ask(client, conversation, seed, params, args)
                    return record(answer)
                except Failed as error:
                    return error

            tasks = [asyncio.ensure_future(reply(*one)) for one in asked]
            try:
                return list(await asyncio.gather(*tasks))
            finally:  # of a call that failed, no request goes on
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _record(self, answer: Answer, most: int, mark: str) -> dict[str, Any]:
        """A reply as the other engines give it, of at most so many characters and the mark. Raises
        Failed where it holds no text."""
        self.server.usage["prompt_tokens"] += answer.prompt_tokens or 0
        self.server.usage["completion_tokens"] += answer.completion_tokens or 0
        if answer.text is None:  # an empty completion is a text
            told = f"the reply holds no text (finish reason {answer.finish_reason})"
            raise Refused(told) if answer.finish_reason == "content_filter" else Failed(told)
        text: str = keys.masked(answer.text).strip()
        if len(text) > most:  # what the server did not stop at max_new_tokens is stopped here
            cut = {"text": text[:most] + mark, "tokens": None, "finish_reason": "length"}
            return {**cut, "top": answer.top}
        return {
            "text": text,
            "tokens": answer.completion_tokens,
            "finish_reason": answer.finish_reason,
            "top": answer.top,
        }


def longest_reply(max_new_tokens: int) -> int:
    """Characters kept of a reply: a bound far over what so many tokens come to."""
    return min(LONGEST_TOKEN * max_new_tokens, LONGEST_REPLY)
