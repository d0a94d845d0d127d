"""Rewrite: the rewriter fuses the missing dimensions into each mined prompt.

Every reply is kept with its checks; the first that passes them all becomes a prompt whose parent
is the original. Strategy `none` keeps the original's text.
"""

from alignment.method import fusion
from alignment.method.seeds import seed_of
from alignment.models import Prompt, RewriteAttempt, Stage, Verdict
from workers import judging, store
from workers.stages.job import ChunkPlan, Job, Outcome, Write, before, cut

CHUNK_PROMPTS = 16
REWRITERS = {"sandbox": {"engine": "sandbox-fuser"}}


def plan(stage: Stage) -> list[ChunkPlan]:
    mined = before(stage, "mine").source.verdicts.filter(mined=True).select_related("prompt")
    prompts = sorted((v.prompt for v in mined), key=lambda p: p.key)
    chunks = cut([p.pk for p in prompts], CHUNK_PROMPTS)
    return [ChunkPlan(index=i, items=c, size=len(c)) for i, c in enumerate(chunks)]


def work(job: Job) -> Write:
    prompts = job.prompts()
    strategy = job.stage.config["rewrite"]["strategy"]
    if strategy == "none":
        attempts = [[_attempt(job.stage, p, 0, "", p.text, ())] for p in prompts]
    else:
        replies = _replies(job, prompts)
        attempts = [_tries(job, p, r) for p, r in zip(prompts, replies, strict=True)]

    def write() -> None:
        for tries in attempts:
            RewriteAttempt.objects.bulk_create(tries)
            first = next((t for t in tries if t.accepted), None)
            if first is not None:
                _accept(job.stage, first, strategy)

    return write


def _replies(job: Job, prompts: list[Prompt]) -> list[list[str]]:
    stage, asked = job.stage, job.stage.config["rewrite"]
    verdicts = {v.prompt_id: v for v in _verdicts(stage, prompts)}
    args = {
        "prompts": [p.text for p in prompts],
        "missing": [verdicts[p.pk].missing for p in prompts],
        "attained": [verdicts[p.pk].attained for p in prompts],
        "strategy": asked["strategy"],
        "candidates": asked["candidates"],
        "seeds": [seed_of(stage.config["seed"], "rewrite", stage.round, p.key) for p in prompts],
    }
    found: list[list[str]] = job.call(REWRITERS[asked["rewriter"]], "rewrite", args)
    return found


def _verdicts(stage: Stage, prompts: list[Prompt]) -> list[Verdict]:
    return list(before(stage, "mine").source.verdicts.filter(prompt__in=prompts))


def _tries(job: Job, prompt: Prompt, replies: list[str]) -> list[RewriteAttempt]:
    """The rewriter's replies up to the first that passes, each with its checks."""
    tries = []
    for i, reply in enumerate(replies):
        parsed = fusion.parse_reply(reply, form="json")
        if parsed.text is None:
            checks: tuple[fusion.Check, ...] = (
                fusion.Check(name="parsed", passed=False, detail=parsed.reason or ""),
            )
            tries.append(_attempt(job.stage, prompt, i, reply, "", checks))
            continue
        harm = _harm(job, prompt.text, parsed.text)
        checks = _checks(job.stage, prompt.text, parsed.text, harm)
        tries.append(_attempt(job.stage, prompt, i, reply, parsed.text, checks, harm))
        if tries[-1].accepted:
            break
    return tries


def _checks(
    stage: Stage, original: str, rewrite: str, harm: fusion.Harm | None
) -> tuple[fusion.Check, ...]:
    asked = stage.config["rewrite"]
    bounds = ("keep_at_least", "length_at_least", "length_at_most")
    limits = fusion.Limits(**{name: asked[name] for name in bounds})
    return fusion.check_rewrite(
        asked["strategy"], original=original, rewrite=rewrite, limits=limits, harm=harm
    )


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
    checks: tuple[fusion.Check, ...],
    harm: fusion.Harm | None = None,
) -> RewriteAttempt:
    return RewriteAttempt(
        stage=stage,
        parent=prompt,
        index=index,
        reply=reply.replace("\x00", ""),
        text=text,
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
    attempts = RewriteAttempt.objects.filter(stage=stage)
    reasons: dict[str, int] = {}
    for checks in attempts.filter(accepted=False).values_list("checks", flat=True):
        for name in {c["name"] for c in checks if not c["passed"]}:
            reasons[name] = reasons.get(name, 0) + 1
    facts = {"accepted": accepted, "attempts": attempts.count(), "refused_by": reasons}
    return Outcome(empty=empty, facts=facts)
