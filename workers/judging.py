"""What a judge says of completions, or of prompts alone, whatever its engine.

Equal items are asked about once. A judgement is raw score or none, the reply as it came, and a
reason; an item that failed is data.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from typing import Any

from alignment.method import guards, judging, mc2, preferences
from alignment.method.errors import MoraError
from alignment.method.judging import Judgement
from alignment.method.seeds import seed_of
from alignment.models import Judge, Policy, Prompt
from workers import specs

Ask = Callable[[specs.Spec, str, dict[str, Any]], Any]
Item = tuple[str, str | None]  # prompt and completion; None: the prompt's own text is judged
Shown = tuple[str, str, str]  # prompt, and two completions in the order shown
Judgements = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Judgements in parallel to the items, and the tokens that they took at an endpoint."""

    judgements: Judgements
    usage: Counter[str] = field(default_factory=Counter)


def judge(
    ask: Ask, by: Judge, prompts: Sequence[str], completions: Sequence[str], repeat: int = 0
) -> Judged:
    """A judge's judgements on completions. Raises MoraError where it cannot judge at all.

    repeat: which of several times the same items are judged; each has seeds of its own.
    """
    return _judge(ask, by, list(zip(prompts, completions, strict=True)), repeat)


def compare(ask: Ask, by: Judge, items: Sequence[Shown], repeat: int = 0) -> Judged:
    """What a rubric judge prefers of two completions; raw is the outcome for the first."""
    asked: judging.RubricSettings = by.typed
    distinct = [item for item in dict.fromkeys(items) if item[1] != item[2]]
    replies, usage = _asked_of_rubric(
        ask,
        asked,
        [preferences.pair_conversation(asked, by.dimension.record, *item) for item in distinct],
        [seed_of("prefer", by.name, by.version, repeat, *item) for item in distinct],
    )
    found = {
        item: _failed(reply)
        if "error" in reply
        else asdict(preferences.parse_preference(asked, reply["text"]))
        for item, reply in zip(distinct, replies, strict=True)
    }
    equal = asdict(Judgement(raw=0.5, reply="", reason="the two are equal"))
    return Judged(judgements=[found.get(item, equal) for item in items], usage=usage)


def judge_policy(
    ask: Ask, policy: Policy, prompts: Sequence[Prompt], params: dict[str, Any]
) -> Judged:
    """MC2 of a policy on each rollout's prompt: equal for the rollouts of one prompt."""
    distinct = {p.pk: p for p in prompts}
    answers = {pk: found for pk, p in distinct.items() if (found := mc2.answers_of(p.meta))}
    logp: dict[int, dict[str, Any]] = {}
    if answers and policy.folder:
        spec = specs.for_sampling(policy, {**params, "engine": "transformers"}, at_endpoint=False)
        args = {
            "prompts": [distinct[pk].text for pk in answers],
            "answers": [[*true, *false] for true, false in answers.values()],
        }
        logp = dict(zip(answers, ask(spec, "likelihoods", args), strict=True))
    by_prompt = {pk: _mc2(answers.get(pk), logp.get(pk), policy) for pk in distinct}
    return Judged(judgements=[asdict(by_prompt[p.pk]) for p in prompts])


def _mc2(
    answers: tuple[list[str], list[str]] | None, found: dict[str, Any] | None, policy: Policy
) -> Judgement:
    if answers is None:
        return Judgement(raw=None, reply="", reason="the prompt has no true and false answers")
    if found is None:
        return Judgement(raw=None, reply="", reason=f"policy {policy} has no weights here to ask")
    if "error" in found:
        return Judgement(raw=None, reply="", reason=found["error"])
    true = len(answers[0])
    told = f"{true} true and {len(answers[1])} false answers"
    reply = " ".join(f"{value:.6g}" for value in found["logp"])
    raw = mc2.mc2(found["logp"][:true], found["logp"][true:])
    return Judgement(raw=raw, reply=reply, reason=told)


def prompt_harms(
    ask: Ask, by: Judge, prompts: Sequence[str]
) -> tuple[list[float | None], Counter[str]]:
    """Harm of prompts' own texts, 0 to 1, by a judge that scores prompts; None for no score. And
    the tokens that it took at an endpoint."""
    if by.prompt_rule:
        found = _rules(ask, by, by.prompt_rule, [(prompt, "") for prompt in prompts])
        return [judgement["raw"] for judgement in found], Counter()
    judged = _judge(ask, by, [(prompt, None) for prompt in prompts])
    raw = [nan if j["raw"] is None else j["raw"] for j in judged.judgements]
    rewards = by.dimension.record.normalise(raw)
    return [None if isnan(reward) else 1 - float(reward) for reward in rewards], judged.usage


def _judge(ask: Ask, by: Judge, items: list[Item], repeat: int = 0) -> Judged:
    distinct = list(dict.fromkeys(items))
    found = ENGINES[by.engine](ask, by, distinct, repeat)
    by_item = dict(zip(distinct, found.judgements, strict=True))
    return Judged(judgements=[by_item[item] for item in items], usage=found.usage)


def _by_rule(ask: Ask, by: Judge, items: list[Item], repeat: int) -> Judged:
    return Judged(judgements=_rules(ask, by, by.rule, items))


def _rules(ask: Ask, by: Judge, rule: str, items: list[Item]) -> Judgements:
    """A child imports the code once, so that other code is for another child."""
    if by.code and by.code != by.code_now:
        raise MoraError(
            f"the code of judge {by} was edited while the run is at work with it: put it back, or"
            " start a run anew, which uses again what was finished before"
        )
    prompts, completions = zip(*items, strict=True) if items else ((), ())
    args = {"rule": rule, "prompts": list(prompts), "completions": list(completions)}
    spec = {"engine": "rules", **({"code": by.code} if by.code else {})}
    found: Judgements = ask(spec, "judge", args)
    return found


def _by_pattern(ask: Ask, by: Judge, items: list[Item], repeat: int) -> Judged:
    asked = by.typed.model_dump()
    args = {**asked, "completions": [completion for _, completion in items]}
    return Judged(judgements=ask({"engine": "rules"}, "match", args))


def _by_rubric(ask: Ask, by: Judge, items: list[Item], repeat: int) -> Judged:
    asked: judging.RubricSettings = by.typed
    dimension = by.dimension.record
    conversations = [
        judging.prompt_conversation(asked, dimension, prompt)
        if completion is None
        else judging.rubric_conversation(asked, dimension, prompt, completion)
        for prompt, completion in items
    ]
    replies, usage = _asked_of_rubric(ask, asked, conversations, seeds(by, repeat, items, 1))
    judgements = [
        _failed(reply)
        if "error" in reply
        else asdict(judging.parse_rubric(asked, dimension, reply["text"]))
        for reply in replies
    ]
    return Judged(judgements=judgements, usage=usage)


def _asked_of_rubric(
    ask: Ask, asked: judging.RubricSettings, conversations: list[Any], own_seeds: list[int]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    params = {"temperature": asked.temperature, "top_p": 1.0}
    params |= {"max_new_tokens": asked.max_new_tokens}
    return _chat(ask, asked.model, conversations, params, own_seeds)


def _by_guard(ask: Ask, by: Judge, items: list[Item], repeat: int) -> Judged:
    asked: guards.GuardSettings = by.typed
    each = len(asked.template_args)
    conversations = [c for prompt, text in items for c in asked.conversations(prompt, text)]
    args = asked.template_args * len(items)
    replies, usage = _chat(
        ask, asked.model, conversations, asked.params, seeds(by, repeat, items, each), args
    )
    judgements = []
    for i, (_, completion) in enumerate(items):
        own = replies[i * each : (i + 1) * each]
        failed = next((reply for reply in own if "error" in reply), None)
        subject: guards.Subject = "prompt" if completion is None else "response"
        judgements.append(
            _failed(failed) if failed else asdict(guards.parse_guard(asked, subject, own))
        )
    return Judged(judgements=judgements, usage=usage)


def _by_reward(ask: Ask, by: Judge, items: list[Item], repeat: int) -> Judged:
    asked: judging.RewardSettings = by.typed
    spec = specs.for_reward(asked)
    args = {"prompts": [p for p, _ in items], "completions": [c for _, c in items]}
    outputs: list[dict[str, Any]] = ask(spec, "score", args)
    return Judged(judgements=[asdict(_reward(by, asked, output)) for output in outputs])


def _reward(by: Judge, asked: judging.RewardSettings, output: dict[str, Any]) -> Judgement:
    """The value on the dimension's scale; as it is in its own units, or without a reference."""
    if "error" in output:
        return Judgement(raw=None, reply="", reason=output["error"])
    heads = output["heads"]
    try:
        value = asked.value(heads)
    except ValueError as error:
        return Judgement(raw=None, reply="", reason=str(error))
    reply = " ".join(f"{head:.6g}" for head in heads)
    if asked.reference is None:
        reason = "in its own units" if asked.own_units else "not on a scale yet"
        return Judgement(raw=value, reply=reply, reason=reason)
    raw = asked.reference.on_scale(value, by.dimension.record)
    return Judgement(raw=raw, reply=reply, reason=f"value {value:.6g}")


def _chat(
    ask: Ask,
    model: Any,
    conversations: list[Any],
    params: dict[str, Any],
    own_seeds: list[int],
    template_args: list[dict[str, str]] | None = None,
) -> tuple[list[dict[str, Any]], Counter[str]]:
    args = {
        "conversations": conversations,
        "seeds": own_seeds,
        "params": params,
        "template_args": template_args,
    }
    found = ask(specs.for_chat(model), "chat", args)
    return found["replies"], Counter(found["usage"])


def seeds(by: Judge, repeat: int, items: list[Item], each: int) -> list[int]:
    """A seed for each of an item's conversations, from the item alone and not its neighbours."""
    return [
        seed_of("judge", by.name, by.version, repeat, prompt, completion or "", i)
        for prompt, completion in items
        for i in range(each)
    ]


def _failed(reply: dict[str, Any]) -> dict[str, Any]:
    return {"raw": None, "reply": "", "reason": f"the judge failed: {reply['error']}"}


ENGINES: dict[str, Callable[[Ask, Judge, list[Item], int], Judged]] = {
    "rules": _by_rule,
    "pattern": _by_pattern,
    "rubric": _by_rubric,
    "guard": _by_guard,
    "reward": _by_reward,
}
