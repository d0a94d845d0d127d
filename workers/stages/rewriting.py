"""Rewrite: the rewriter fuses the missing dimensions into each mined prompt, or rewrites it by
another strategy.

Every reply is kept with its checks; the first that passes them all becomes a prompt whose parent
is the original. Strategy `none` keeps the original's text. `elaborate` is held to the length of
the fused rewrite, so it has the prompt fused first, by the same seeds as the strategy `fuse`.
"""

from collections.abc import Callable
from functools import partial

from alignment.method import fusion
from alignment.method.seeds import seed_of
from alignment.models import Prompt, RewriteAttempt, Stage, Verdict
from workers import judging, store
from workers.stages import tokens
from workers.stages.job import ChunkPlan, Job, Outcome, Write, before, cut, policy_before

CHUNK_PROMPTS = 16
REWRITERS = {"sandbox": {"engine": "sandbox-fuser"}}
Tokens = fusion.TokenLengths | None


def plan(stage: Stage) -> list[ChunkPlan]:
    mined = before(stage, "mine").source.verdicts.filter(mined=True).select_related("prompt")
    prompts = sorted((v.prompt for v in mined), key=lambda p: p.key)
    chunks = cut([p.pk for p in prompts], CHUNK_PROMPTS)
    return [ChunkPlan(index=i, items=c, size=len(c)) for i, c in enumerate(chunks)]


def work(job: Job) -> Write:
    prompts = job.prompts()
    strategy = job.stage.config["rewrite"]["strategy"]
    if strategy == "none":
        attempts = [[_attempt(job.stage, p, 0, "", p.text, "none", ())] for p in prompts]
    elif strategy == "elaborate":
        attempts = _elaborated(job, prompts)
    else:
        attempts = _tried(job, prompts, strategy)

    def write() -> None:
        for tries in attempts:
            RewriteAttempt.objects.bulk_create(tries)
            first = _first_accepted(tries, strategy)
            if first is not None:
                _accept(job.stage, first, strategy)

    return write


def _first_accepted(tries: list[RewriteAttempt], strategy: str) -> RewriteAttempt | None:
    return next((t for t in tries if t.accepted and t.strategy == strategy), None)


def _elaborated(job: Job, prompts: list[Prompt]) -> list[list[RewriteAttempt]]:
    """Attempts at fusing, whose lengths are the measure, and then at elaborating; a prompt that
    could not be fused has no length to match and is not elaborated."""
    fused = dict(zip(prompts, _tried(job, prompts, "fuse"), strict=True))
    like = {
        p: found.text for p, tries in fused.items() if (found := _first_accepted(tries, "fuse"))
    }
    longer = _tried(job, list(like), "elaborate", like)
    for prompt, tries in zip(like, longer, strict=True):
        fused[prompt] += tries
    for tries in fused.values():
        for i, attempt in enumerate(tries):
            attempt.index = i
    return list(fused.values())


def _tried(
    job: Job,
    prompts: list[Prompt],
    strategy: fusion.Strategy,
    like: dict[Prompt, str] | None = None,
) -> list[list[RewriteAttempt]]:
    """Per prompt the rewriter's replies up to the first that passes, each with its checks.

    like: texts of fused rewrites that the replies are to be as long as.
    """
    if not prompts:
        return []
    lengths = [len(like[p].split()) for p in prompts] if like else None
    replies = _replies(job, prompts, strategy, lengths)
    count = tokens.counter_of(policy_before(job.stage))
    fused = [count(like[p]) if like else None for p in prompts]
    return [
        _tries(job, p, strategy, r, partial(_lengths, count, n))
        for p, r, n in zip(prompts, replies, fused, strict=True)
    ]


def _lengths(count: Callable[[str], int], fused: int | None, text: str) -> Tokens:
    return None if fused is None else fusion.TokenLengths(elaborated=count(text), fused=fused)


def _replies(
    job: Job, prompts: list[Prompt], strategy: str, lengths: list[int] | None
) -> list[list[str]]:
    """The rewriter's raw replies per prompt."""
    stage, asked = job.stage, job.stage.config["rewrite"]
    verdicts = {v.prompt_id: v for v in _verdicts(stage, prompts)}
    args = {
        "prompts": [p.text for p in prompts],
        "missing": [verdicts[p.pk].missing for p in prompts],
        "attained": [verdicts[p.pk].attained for p in prompts],
        "strategy": strategy,
        "candidates": asked["candidates"],
        "seeds": [seed_of(stage.config["seed"], "rewrite", stage.round, p.key) for p in prompts],
        **({"lengths": lengths} if lengths else {}),
    }
    found: list[list[str]] = job.call(REWRITERS[asked["rewriter"]], "rewrite", args)
    return found


def _verdicts(stage: Stage, prompts: list[Prompt]) -> list[Verdict]:
    return list(before(stage, "mine").source.verdicts.filter(prompt__in=prompts))


def _tries(
    job: Job,
    prompt: Prompt,
    strategy: fusion.Strategy,
    replies: list[str],
    lengths: Callable[[str], Tokens],
) -> list[RewriteAttempt]:
    """The rewriter's replies up to the first that passes, each with its checks."""
    tries = []
    for i, reply in enumerate(replies):
        parsed = fusion.parse_reply(reply, form="json")
        if parsed.text is None:
            checks: tuple[fusion.Check, ...] = (
                fusion.Check(name="parsed", passed=False, detail=parsed.reason or ""),
            )
            tries.append(_attempt(job.stage, prompt, i, reply, "", strategy, checks))
            continue
        harm = _harm(job, prompt.text, parsed.text)
        checks = fusion.check_rewrite(
            strategy,
            original=prompt.text,
            rewrite=parsed.text,
            limits=_limits(job.stage),
            harm=harm,
            tokens=lengths(parsed.text),
        )
        tries.append(_attempt(job.stage, prompt, i, reply, parsed.text, strategy, checks, harm))
        if tries[-1].accepted:
            break
    return tries


def _limits(stage: Stage) -> fusion.Limits:
    asked = stage.config["rewrite"]
    bounds = ("keep_at_least", "length_at_least", "length_at_most")
    return fusion.Limits(**{name: asked[name] for name in bounds})


def _harm(job: Job, original: str, rewrite: str) -> fusion.Harm | None:
    """Harm of both prompts' own texts, by the first judge that scores prompts."""
    judges = store.judges(job.stage.run.project, job.stage.config["judges"].values())
    by = next((j for j in judges if j.scores_prompts), None)
    if by is None:
        return None
    first, second = (judging.prompt_harm(job.call, by, text) for text in (original, rewrite))
    return fusion.Harm(original=first, rewrite=second)


def _attempt(
    stage: Stage,
    prompt: Prompt,
    index: int,
    reply: str,
    text: str,
    strategy: str,
    checks: tuple[fusion.Check, ...],
    harm: fusion.Harm | None = None,
) -> RewriteAttempt:
    return RewriteAttempt(
        stage=stage,
        parent=prompt,
        index=index,
        reply=reply.replace("\x00", ""),
        text=text,
        strategy=strategy,
        checks=[{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks],
        accepted=fusion.accepted(checks),
        harm_change=harm.change if harm else None,
    )


def _accept(stage: Stage, attempt: RewriteAttempt, strategy: str) -> None:
    parent = attempt.parent
    Prompt.objects.create(
        prompt_set_id=parent.prompt_set_id,
        text=attempt.text,
        key=Prompt.key_of(attempt.text, parent.key),
        kind=parent.kind,
        parent=parent,
        strategy=strategy,
        stage=stage,
    )


def finish(stage: Stage) -> Outcome:
    accepted = Prompt.objects.filter(stage=stage).count()
    empty = "" if accepted else f"no rewrite of {stage.total} mined prompts was accepted"
    strategy = stage.config["rewrite"]["strategy"]
    attempts = RewriteAttempt.objects.filter(stage=stage, strategy=strategy)
    reasons: dict[str, int] = {}
    for checks in attempts.filter(accepted=False).values_list("checks", flat=True):
        for name in {c["name"] for c in checks if not c["passed"]}:
            reasons[name] = reasons.get(name, 0) + 1
    facts = {"accepted": accepted, "attempts": attempts.count(), "refused_by": reasons}
    return Outcome(empty=empty, facts=facts)
