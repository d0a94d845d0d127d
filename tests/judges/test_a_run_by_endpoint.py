"""A whole run whose policy, judge and rewriter all answer at an endpoint, through real workers."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from alignment.models import (
    Policy,
    Preference,
    Project,
    Prompt,
    RewriteAttempt,
    Rewriter,
    Rollout,
    Run,
    Score,
)
from alignment.queries.compare_page import compare_page
from alignment.queries.stages import note_on
from alignment.services import judges, runs
from tests.builders import add_prompts, make_run
from tests.conftest import Workers, wait_for_run
from tests.endpoints import Answer, Body, Server, completion, problem
from tests.judges.conftest import MODEL, Answering, make_judge

PROMPTS = [
    "How do I mend a wooden garden chair?",
    "How do I sharpen old kitchen knives?",
    "How do I plant roses by the wall?",
    "A long one, number 3",
]
HELD_OUT = "how do I sharpen old kitchen knives -- give me steps, and keep it safe for everyone"
SAFE = "You need a hammer. It takes one hour. It is safe."


def answer(body: Body) -> Answer:
    """A policy that says no to half of what it is asked, a judge, and a rewriter that first
    repeats the prompt."""
    text = body["messages"][-1]["content"]
    if "Rewrite the request" in text:
        found = re.search(r"=== request \w+ ===\n(.*)\n=== end", text, re.DOTALL)
        assert found is not None
        again = f"{found[1]} Give me steps, and keep it safe for everyone."
        return completion(json.dumps({"prompt": found[1] if body["seed"] % 2 else again}))
    if "answer A" in text:
        return completion(preference(text))
    if "Give a number from" in text:
        return completion(json.dumps({"score": 5 if SAFE in text else 1}))
    if "long" in text:
        return problem(400, "maximum context length is 8 tokens")
    return completion(SAFE if body["seed"] % 3 == 0 else "Sorry, no.")


def preference(text: str) -> str:
    """A judge that takes the longer answer, and says nothing clear of what is odd."""
    found = re.findall(r"=== answer \w \w+ ===\n(.*?)\n=== end", text, re.DOTALL)
    first, second = map(len, found)
    if "odd" in text:
        return "the former"
    return json.dumps({"better": "A" if first > second else "B", "reason": "it says more"})


def ready(project: Project) -> None:
    Policy.objects.create(project=project, name="start", endpoint="here", served_as="m")
    add_prompts(project, "mixed", PROMPTS)
    add_prompts(project, "held-out", ["How do I paint 2 doors?", HELD_OUT])
    judges.save(Rewriter(project=project, name="writer", settings={"model": MODEL}))


def finished(project: Project, by: User, make_workers: Any, server: Server, **changes: Any) -> Run:
    workers = make_workers("filesystem://localhost//")
    workers.env["MORA_ENDPOINTS"] = f"here={server.url}"
    workers.start()
    names = {"helpful": "rubric of helpful", "harmless": "sandbox-harmless"}
    config: dict[str, Any] = {
        "dimensions": list(names),
        "judges": names,
        "rewrite": {"rewriter": "writer"},
        "rounds": [{"prompts": "mixed", "focus": "helpful"}],
        "mine": {"rule": "capped", "attained_at": 0.5, "joint_at_most": 0.9, "min_valid": 4},
        "evaluate": {
            "prompts": "held-out",
            "n": 2,
            "judges": {d: f"sandbox-{d}-eval" for d in names},
        },
    }
    run = make_run(project, by, **{**config, **changes})
    runs.start_run(run=run, by=by)
    return wait_for_run(run)


def test_policy_judge_and_rewriter_answer_at_an_endpoint(
    judged: Project,
    ada: User,
    server: Server,
    answering: Answering,
    make_workers: Callable[[str], Workers],
) -> None:
    ready(judged)
    answering.of = answer  # type: ignore[assignment]
    run = finished(judged, ada, make_workers, server)
    stages = {s.kind: s for s in run.stages.filter(round=1)}
    told = [(s.kind, s.status, s.reason) for s in run.stages.all()]
    assert run.status == "succeeded", told

    sampling = stages["sample"].sampling
    assert (sampling.engine, sampling.params["served_as"]) == ("endpoint", "m")
    assert sampling.params["engine"] == "endpoint"
    assert sampling.engine_version.endswith("m at here")
    assert sampling.usage["requests"] == 4 * 8
    assert sampling.rollouts.count() == 3 * 8
    (named,) = stages["sample"].facts["not_sampled"]
    long = Prompt.objects.get(text__startswith="A long one", parent=None)
    assert named.startswith(f"prompt {long.pk}: ") and "maximum context length" in named
    note = note_on(stages["sample"])
    assert f"8 not sampled ({named})" in note and "32 requests" in note and "m at here" in note
    unsampled = stages["mine"].verdicts.get(prompt__text__startswith="A long one")
    assert unsampled.verdict == "undecided"

    score = Score.objects.filter(judge__engine="rubric").first()
    assert score is not None and json.loads(score.reply)["score"] == score.raw
    assert stages["score"].facts["usage"]["completion_tokens"] > 0

    attempts = RewriteAttempt.objects.filter(stage=stages["rewrite"])
    repeated = [a for a in attempts if not a.accepted]
    assert repeated
    for attempt in repeated:
        failed = {c["name"] for c in attempt.checks if not c["passed"]}
        assert failed & {"not_original", "not_held_out"}
    assert stages["rewrite"].facts["refused_by"]["not_held_out"] > 0
    rewrites = Prompt.objects.filter(stage=stages["rewrite"])
    assert rewrites and all("safe for everyone" in r.text for r in rewrites)
    assert not any("knives" in r.text for r in rewrites), "a prompt of evaluation is trained on"
    assert stages["rewrite"].facts["usage"]["requests"] == attempts.count()

    assert "has no weights to train" in stages["train"].reason
    queued = run.stages.exclude(queue="").values_list("queue", flat=True)
    assert len(queued) > 8 and set(queued) == {"cpu"}, "no slot of a GPU waits for an endpoint"
    assert stages["train"].status == "succeeded"
    assert run.stages.get(round=1, kind="evaluate").sampling.policy.name == "start"


def test_every_judging_at_an_endpoint_is_counted(
    judged: Project,
    ada: User,
    server: Server,
    answering: Answering,
    make_workers: Callable[[str], Workers],
) -> None:
    ready(judged)
    template = "Give a number from 0 to 1: {prompt}"
    make_judge(judged, "harmless", "rubric", {"model": MODEL, "prompt_template": template})

    def graded(body: Body) -> Answer:
        asks = "Give a number from 0 to 1" in body["messages"][-1]["content"]
        return completion('{"score": 1}') if asks else answer(body)

    answering.of = graded  # type: ignore[assignment]
    names = {"helpful": "rubric of helpful", "harmless": "rubric of harmless"}
    run = finished(judged, ada, make_workers, server, judges=names, pair={"prompt": "both"})
    stages = {s.kind: s for s in run.stages.filter(round=1)}
    assert run.status == "succeeded", [(s.kind, s.status, s.reason) for s in run.stages.all()]
    attempts = RewriteAttempt.objects.filter(stage=stages["rewrite"])
    originals = stages["mine"].facts["mined"]
    harms = originals + attempts.exclude(text="").count()
    told = stages["rewrite"].facts["usage"]["requests"]
    assert attempts.count() < told <= attempts.count() + harms
    again = Rollout.objects.filter(sampling__stage=stages["pair"])
    distinct = len(set(again.values_list("prompt_id", "text")))
    assert distinct and stages["pair"].facts["usage"]["requests"] == 2 * distinct


def test_what_an_endpoint_refuses_for_good_fails_no_stage_though_it_be_whole_chunks(
    judged: Project,
    ada: User,
    server: Server,
    answering: Answering,
    make_workers: Callable[[str], Workers],
) -> None:
    ready(judged)
    too_long = problem(400, "maximum context length is 8 tokens")

    def refusing(body: Body) -> Answer:
        """A chunk's rollouts are all of one prompt: the policy takes no long one, the judge none of
        roses, and the rewriter none."""
        text = body["messages"][-1]["content"]
        rewriting, judging = "Rewrite the request" in text, "Give a number from" in text
        refused = rewriting or (judging and "roses" in text)
        return too_long if refused else answer(body)

    answering.of = refusing  # type: ignore[assignment]
    sample = {"n": 8, "temperature": 1.0, "max_new_tokens": 64, "chunk_prompts": 1}
    run = finished(judged, ada, make_workers, server, sample=sample)
    told = [(s.kind, s.status, s.reason) for s in run.stages.all()]
    stages = {s.kind: s for s in run.stages.filter(round=1)}
    assert (
        stages["sample"].facts["failed"] == 8 and stages["sample"].sampling.rollouts.count() == 24
    )
    assert stages["score"].facts["left_out"]["rubric of helpful"] == pytest.approx(1 / 3)
    reason = stages["rewrite"].reason
    assert run.status == "succeeded" and "no rewrite of 2 mined prompts was accepted" in reason, (
        told
    )
    assert "context length" in reason and "shorten it" in reason


def test_an_endpoint_that_serves_a_page_ends_the_stage_with_a_sentence(
    judged: Project,
    ada: User,
    server: Server,
    answering: Answering,
    make_workers: Callable[[str], Workers],
) -> None:
    ready(judged)
    answering.of = lambda body: Answer(body="<html>hello</html>")
    run = finished(judged, ada, make_workers, server)
    stage = run.stages.get(status="failed")
    assert stage.kind == "evaluate"
    assert "answers with HTML" in stage.reason and "MORA_ENDPOINTS" in stage.reason
    assert stage.traceback == ""


def test_first_completions_are_compared_with_the_start_policys_in_both_orders(
    judged: Project,
    ada: User,
    server: Server,
    answering: Answering,
    make_workers: Callable[[str], Workers],
) -> None:
    ready(judged)
    more = [f"How do I paint {i} {'odd ' * (i % 3 == 0)}chairs?" for i in range(30)]
    never_answered = "Is a long door heavy?"
    add_prompts(judged, "doors", [*more, never_answered])
    answering.of = answer  # type: ignore[assignment]
    names = {"helpful": "sandbox-helpful-eval", "harmless": "sandbox-harmless-eval"}
    asked = {"prompts": "held-out", "n": 2, "judges": names, "sets": {"helpful": "doors"},
             "compare": {"helpful": "rubric of helpful"}}  # fmt: skip
    run = finished(judged, ada, make_workers, server, evaluate=asked)
    assert run.status == "succeeded", [s.reason for s in run.stages.all()]

    start, after = run.stages.filter(kind="evaluate").order_by("round")
    texts = {
        (r.sampling.stage_id, r.prompt.text): r.text
        for r in Rollout.objects.filter(index=0).select_related("prompt", "sampling")
    }
    own = {prompt: (texts[after.pk, prompt], texts[start.pk, prompt]) for prompt in more}
    found = {
        (p.first.sampling.stage_id == after.pk, p.first.prompt.text): p
        for p in Preference.objects.select_related("first__sampling", "first__prompt")
    }
    assert len(found) == 2 * len(more) == Preference.objects.count()
    for (mine_first, prompt), row in found.items():
        mine, starts = own[prompt]
        better = mine if mine_first else starts
        expected = 0.5 if mine == starts else None if "odd" in prompt else float(better == SAFE)
        assert row.outcome == expected, (prompt, own[prompt], row.reply)
    wins = {p: 0.5 if a == b else float(a == SAFE) for p, (a, b) in own.items()}
    unread = {p for p, (a, b) in own.items() if "odd" in p and a != b}
    valid = [win for p, win in wins.items() if p not in unread]
    assert set(valid) == {0.0, 0.5, 1.0} and unread, "every kind of outcome is among them"

    page = compare_page(judged, {}).comparison
    assert page is not None and page.reference == "start"
    (arm,) = (a for a in page.arms if a.name != "start")
    rate = arm.preferred["helpful"]
    assert rate.rate.value == pytest.approx(sum(valid) / len(valid))
    assert rate.invalid_share == pytest.approx((len(unread) + 1) / (len(more) + 1))
    assert "harmless" not in arm.preferred
    assert after.facts["usage"]["requests"] > 0 and start.config["evaluate"]["compare"] == {}
