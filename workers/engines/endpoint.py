"""The `endpoint` engine: rollouts and replies of a model behind an OpenAI-compatible server.

Requests run side by side up to a bound. One that keeps failing is data; where no request could
succeed the call fails. Nothing is loaded here.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import openai

from alignment.method.errors import MoraError
from workers.engines.engine import Engine, Spec
from workers.engines.server import Failed, Server


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
        """Per prompt, one rollout a seed or its error; and the tokens used."""
        pairs = zip(prompts, seeds, strict=True)
        turns = [[{"role": "user", "content": prompt}] for prompt, own in pairs for _ in own]
        found = self.chat(turns, [seed for own in seeds for seed in own], params)
        replies = iter(found["replies"])
        rollouts = [[next(replies) for _ in own] for own in seeds]
        return {"rollouts": rollouts, "usage": found["usage"]}

    def chat(
        self,
        conversations: list[Any],
        seeds: list[int],
        params: dict[str, Any],
        template_args: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Per conversation its reply or {"error": ...}; and the tokens used.

        Raises MoraError where the server cannot be used, or failed all of several requests.
        """
        self.server.forget_usage()
        given = template_args or [{} for _ in conversations]
        asked = list(zip(conversations, seeds, given, strict=True))
        replies = asyncio.run(self._all(asked, params))
        errors = [reply["error"] for reply in replies if "error" in reply]
        if errors and len(errors) == len(replies) > 1:
            raise MoraError(
                f"The endpoint {self.server.name} failed all of {len(errors)} requests; the last "
                f"one: {errors[-1]}. Look at the server, then retry."
            )
        return {"replies": replies, "usage": self.server.usage}

    async def _all(
        self, asked: Iterable[tuple[Any, int, dict[str, Any]]], params: dict[str, Any]
    ) -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(self.concurrency)
        async with self.server.client() as client:

            async def reply(conversation: Any, seed: int, args: dict[str, Any]) -> dict[str, Any]:
                async with gate:
                    try:
                        answer = await self.server.ask(client, conversation, seed, params, args)
                    except Failed as error:
                        return {"error": str(error)}
                return self._record(answer)

            tasks = [asyncio.ensure_future(reply(*one)) for one in asked]
            try:
                return list(await asyncio.gather(*tasks))
            finally:  # of a call that failed, no request goes on
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _record(self, answer: Any) -> dict[str, Any]:
        """A reply as the other engines give it."""
        choice, used = answer.choices[0], answer.usage
        text = choice.message.content if hasattr(choice, "message") else choice.text
        for name in ("prompt_tokens", "completion_tokens"):
            self.server.usage[name] += getattr(used, name, 0) or 0
        if text is None:  # a tool's call, or thoughts alone; an empty completion is a text
            return {"error": f"the reply holds no text (finish reason {choice.finish_reason})"}
        return {
            "text": text.strip(),
            "tokens": getattr(used, "completion_tokens", None),
            "finish_reason": choice.finish_reason or "stop",
            "top": _alternatives(choice.logprobs),
        }


def _alternatives(logprobs: Any) -> list[list[dict[str, Any]]]:
    """Per token of the reply its likeliest alternatives, where the server gave them."""
    if getattr(logprobs, "content", None):
        return [
            [{"token": a.token, "logprob": a.logprob} for a in token.top_logprobs or [token]]
            for token in logprobs.content
        ]
    return [
        [{"token": token, "logprob": value} for token, value in alternatives.items()]
        for alternatives in getattr(logprobs, "top_logprobs", None) or []
    ]
