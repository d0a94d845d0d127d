"""Rewrite: the rewriter fuses the missing dimensions into each mined prompt, or rewrites it by
another strategy.

Every reply is kept with its checks; the first that passes them all becomes a prompt whose parent
is the original. Strategy `none` keeps the original's text. `elaborate` is held to the length of
the fused rewrite, so it has the prompt fused first, by the same seeds as the strategy `fuse`.
"""

from collections import Counter
from functools import partial

from alignment.method import fusion
from alignment.method.seeds import seed_of
from alignment.models import Prompt, RewriteAttempt, Stage
from alignment.models.judges import harm_judge
from alignment.queries.held_out import held_out
from workers import judging, rewriters, store
from workers.stages import tokens
from workers.stages.job import (
    ChunkPlan,
    Job,
    Outcome,
    Write,
    add_counts,
    before,
    cut,
    policy_before,
)

CHUNK_PROMPTS = 16


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
        usage: Counter[str] = Counter()
    else:
        asked = job.stage.config["rewrite"]["rewriter"]
        rewriter = rewriters.named(job.call, job.stage.run.project, asked)
        way = _elaborated if strategy == "elaborate" else partial(_tried, strategy=strategy)
        attempts, usage = way(job, prompts, rewriter=rewriter), rewriter.usage

    def write() -> None:
        add_counts(job.stage, "usage", usage)
        for tries in attempts:
            store.insert(tries)
            first = _first_accepted(tries, strategy)
            if first is not None:
                _accept(job.stage, first, strategy)

    return write


def _first_accepted(tries: list[RewriteAttempt], strategy: str) -> RewriteAttempt | None:
    return next((t for t in tries if t.accepted and t.strategy == strategy), None)


def _elaborated(
    job: Job, prompts: list[Prompt], rewriter: rewriters.Rewriter
) -> list[list[RewriteAttempt]]:
    """Attempts at fusing, whose lengths are the measure, and then at elaborating; a prompt that
    could not be fused has no length to match and is not elaborated."""
    fused = dict(zip(prompts, _tried(job, prompts, "fuse", rewriter), strict=True))
    like = {
        p: found.text for p, tries in fused.items() if (found := _first_accepted(tries, "fuse"))
    }
    longer = _tried(job, list(like), "elaborate", rewriter, like) if like else []
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
    rewriter: rewriters.Rewriter,
    like: dict[Prompt, str] | None = None,
) -> list[list[RewriteAttempt]]:
    """Per prompt the rewriter's replies up to the first that passes, each with its checks.

    Who has no accepted reply yet is asked again, up to the number of candidates. like: texts of
    fused rewrites that the replies are to be as long as.
    """
    asked = _asked(job.stage, prompts, like)
    check = _Checker(job, prompts, strategy, rewriter, like)
    tries: list[list[RewriteAttempt]] = [[] for _ in prompts]
    for attempt in range(job.stage.config["rewrite"]["candidates"]):
        left = [i for i, own in enumerate(tries) if not (own and own[-1].accepted)]
        replies = rewriter.replies([asked[i] for i in left], strategy, attempt) if left else []
        for i, made in zip(left, check(left, replies, attempt), strict=True):
            tries[i].append(made)
    return tries


def _asked(
    stage: Stage, prompts: list[Prompt], like: dict[Prompt, str] | None
) -> list[rewriters.Asked]:
    """What the rewriter is told of each prompt: what mining found, and its seed."""
    mined = before(stage, "mine").source.verdicts.filter(prompt__in=prompts)
    verdicts = {v.prompt_id: v for v in mined}
    return [
        rewriters.Asked(
            prompt=p.text,
            missing=verdicts[p.pk].missing,
            attained=verdicts[p.pk].attained,
            seed=seed_of(stage.config["seed"], "rewrite", stage.round, p.key),
            words=len(like[p].split()) if like else None,
        )
        for p in prompts
    ]


class _Checker:
    """The acceptance checks on replies to the same prompts, whose own harm is judged once."""

    def __init__(
        self,
        job: Job,
        prompts: list[Prompt],
        strategy: fusion.Strategy,
        rewriter: rewriters.Rewriter,
        like: dict[Prompt, str] | None,
    ) -> None:
        self.job, self.prompts, self.strategy, self.rewriter = job, prompts, strategy, rewriter
        judges = store.judges(job.stage.run.project, job.stage.config["judges"].values())
        self.by = harm_judge(judges)
        own = [text for judge in judges for text in judge.private_texts]
        self.private_texts = [*rewriter.private_texts, *own]
        self.held_out = held_out(job.stage.run)
        self.harms = self._harms([p.text for p in prompts])
        self.count = tokens.counter_of(policy_before(job.stage))
        self.fused = [like[p] if like else "" for p in prompts]

    def __call__(
        self, places: list[int], replies: list[rewriters.Reply], attempt: int
    ) -> list[RewriteAttempt]:
        """An attempt for each reply to the prompts at these places."""
        parsed = [self._parsed(reply) for reply in replies]
        found = iter(self._harms([one.text for one in parsed if one.text is not None]))
        harms = [None if one.text is None else next(found) for one in parsed]
        return [
            self._attempt(i, attempt, reply, one, harm)
            for i, reply, one, harm in zip(places, replies, parsed, harms, strict=True)
        ]

    def _parsed(self, reply: rewriters.Reply) -> fusion.Parsed:
        if reply.error:
            return fusion.Parsed(text=None, reason=reply.error)
        return fusion.parse_reply(reply.text, form=self.rewriter.form)

    def _harms(self, texts: list[str]) -> list[float | None]:
        if self.by is None or not texts:
            return [None for _ in texts]
        harms, usage = judging.prompt_harms(self.job.call, self.by, texts)
        self.rewriter.usage.update(usage)
        return harms

    def _attempt(
        self,
        i: int,
        attempt: int,
        reply: rewriters.Reply,
        parsed: fusion.Parsed,
        rewrite_harm: float | None,
    ) -> RewriteAttempt:
        prompt, stage = self.prompts[i], self.job.stage
        if parsed.text is None:
            check = fusion.Check(name="parsed", passed=False, detail=parsed.reason or "")
            return _attempt(stage, prompt, attempt, reply.text, "", self.strategy, (check,))
        text, fused = parsed.text, self.fused[i]
        harm = fusion.Harm(original=self.harms[i], rewrite=rewrite_harm) if self.by else None
        lengths = None
        if fused:
            lengths = fusion.TokenLengths(elaborated=self.count(text), fused=self.count(fused))
        checks = fusion.check_rewrite(
            self.strategy,
            original=prompt.text,
            rewrite=text,
            limits=_limits(stage),
            held_out=self.held_out,
            private_texts=self.private_texts,
            harm=harm,
            tokens=lengths,
            fused=fused,
        )
        return _attempt(stage, prompt, attempt, reply.text, text, self.strategy, checks, harm)


def _limits(stage: Stage) -> fusion.Limits:
    asked = stage.config["rewrite"]
    bounds = ("keep_at_least", "length_at_least", "length_at_most")
    return fusion.Limits(**{name: asked[name] for name in bounds})


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
        reply=store.storable(reply),
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
    strategy = stage.config["rewrite"]["strategy"]
    attempts = RewriteAttempt.objects.filter(stage=stage, strategy=strategy)
    reasons: dict[str, int] = {}
    example = ""
    for checks in attempts.filter(accepted=False).order_by("pk").values_list("checks", flat=True):
        failed = {c["name"]: c["detail"] for c in checks if not c["passed"]}
        example = example or failed.get("parsed", "")
        for name in failed:
            reasons[name] = reasons.get(name, 0) + 1
    empty = "" if accepted else _none_accepted(stage.total, reasons, example)
    facts = {"accepted": accepted, "attempts": attempts.count(), "refused_by": reasons}
    return Outcome(empty=empty, facts=facts)


def _none_accepted(prompts: int, reasons: dict[str, int], example: str) -> str:
    """What to say of it; example: why the first reply that could not be read could not be."""
    told = f"no rewrite of {prompts} mined prompts was accepted"
    if not reasons:
        return told
    worst = max(reasons, key=lambda name: reasons[name])
    why = f" ({example})" if worst == "parsed" else ""
    return (
        f"{told}: most failed the check {worst!r}{why}; look at the attempts and the rewriter's"
        " template"
    )
