"""Strategies of rewriting, rules of pairing and shares of pairs, through real workers."""

from itertools import pairwise

from django.contrib.auth.models import User

from alignment.method.selection import share_size
from alignment.models import (
    Evaluation,
    Pair,
    Project,
    Prompt,
    RewriteAttempt,
    Rollout,
    Run,
    Score,
    Stage,
)
from alignment.queries.results import policy_table
from tests.builders import add_prompts
from tests.conftest import Workers, wait_for_run
from tests.workers.test_a_run import start
from workers.stages.tokens import counter_of
from workers.stages.training import nested_share, pairs_to_train_on


def finished(run: Run) -> dict[str, Stage]:
    wait_for_run(run)
    stages = {s.kind: s for s in run.stages.filter(round=1)}
    assert run.status == "succeeded", [(s.kind, s.status, s.reason) for s in stages.values()]
    return stages


def texts_by_parent(stage: Stage) -> dict[str, str]:
    rewrites = Prompt.objects.filter(stage=stage.source).select_related("parent")
    return {r.parent.text: r.text for r in rewrites if r.parent}


def test_arms_share_what_they_have_in_common_and_keep_every_attempt(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    found = {
        strategy: finished(
            start(
                sandbox,
                owner,
                name=strategy,
                rewrite={"strategy": strategy},
                rounds=[{"prompts": "mixed", "focus": None if strategy == "none" else "harmless"}],
            )
        )
        for strategy in ("fuse", "elaborate", "paraphrase", "none")
    }
    for strategy in ("elaborate", "paraphrase", "none"):
        shared = {k for k, s in found[strategy].items() if s.reused_from_id}
        assert shared == {"sample", "score", "mine"}, strategy

    fused, longer = (texts_by_parent(found[s]["rewrite"]) for s in ("fuse", "elaborate"))
    count = counter_of(sandbox.policies.get(name="start"))
    assert longer and set(longer) <= set(fused)
    for parent, text in longer.items():
        assert abs(count(text) - count(fused[parent])) <= 0.1 * count(fused[parent])

    attempts = RewriteAttempt.objects.filter(stage=found["elaborate"]["rewrite"])
    assert set(attempts.values_list("strategy", flat=True)) == {"fuse", "elaborate"}
    assert {a.text for a in attempts if a.accepted and a.strategy == "fuse"} == set(fused.values())
    for attempt in attempts.filter(accepted=False):
        assert [c["detail"] for c in attempt.checks if not c["passed"]]
    same = texts_by_parent(found["none"]["rewrite"])
    assert all(parent == text for parent, text in same.items())
    assert len(same) == found["none"]["mine"].facts["mined"]

    pairs = Pair.objects.filter(stage=found["none"]["pair"])
    assert all(min(p.gaps.values()) >= 0 for p in pairs), "without a focus, no dimension falls"
    answered = Rollout.objects.filter(sampling__stage=found["fuse"]["evaluate"])
    assert set(answered.values_list("refused", flat=True)) == {True, False}


def test_pairs_under_the_original_prompt_stand_on_scores_given_there(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    rule = {"prompt": "both", "rule": "rs_dpo", "tau": 0.1, "eta": 0.85, "consistent": False}
    stages = finished(start(sandbox, owner, pair=rule, rounds=[{"prompts": "mixed"}]))
    pairs = Pair.objects.filter(stage=stages["pair"]).select_related("prompt", "chosen", "rejected")
    seeds = [p for p in pairs if p.prompt.parent_id is None]
    assert 0 < len(seeds) < len(pairs)
    assert all(p.margin >= 0.1734 for p in pairs)
    assert round(stages["pair"].facts["implied_gap"], 4) == 0.1735
    again = Rollout.objects.filter(sampling__stage=stages["pair"])
    resampled = Rollout.objects.filter(sampling__stage=stages["resample"])
    assert sorted(again.values_list("text", flat=True)) == sorted(
        resampled.values_list("text", flat=True)
    )
    assert Score.objects.filter(rollout__in=again).count() == 3 * again.count()
    for pair in seeds:
        assert pair.chosen.prompt_id == pair.prompt_id == pair.rejected.prompt_id
        rewards = [dict(r.scores.values_list("judge__name", "reward")) for r in
                   (pair.chosen, pair.rejected)]  # fmt: skip
        gaps = [rewards[0][name] - rewards[1][name] for name in rewards[0]]
        assert abs(sum(gaps) / 3 - pair.margin) < 1e-9
    assert stages["pair"].facts["yield"]["rollouts"] == 2 * resampled.count()


def test_shares_of_the_pairs_are_nested_and_share_every_stage_before_training(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    whole = finished(start(sandbox, owner, name="all"))
    half = finished(start(sandbox, owner, name="half", train={"pairs_share": 0.5, "steps": 3}))
    assert all(half[k].reused_from_id for k in half if k not in ("train", "evaluate"))
    assert half["train"].facts["steps"] == half["train"].done == half["train"].total == 3
    pairs = list(whole["pair"].pairs.select_related("prompt", "chosen", "rejected"))
    shares = [{p.pk for p in nested_share(pairs, s, 7)} for s in (0.1, 0.25, 0.5, 1.0)]
    assert [len(s) for s in shares] == [share_size(len(pairs), s) for s in (0.1, 0.25, 0.5, 1.0)]
    assert all(a <= b for a, b in pairwise(shares))
    assert shares[0] < shares[2] < shares[3]
    filled = pairs_to_train_on(half["train"], pairs)
    assert len(filled) == 3 * half["train"].config["train"]["batch_pairs"]
    assert {p.pk for p in filled} <= shares[2]


def test_a_dimension_is_evaluated_on_its_own_set_which_is_held_out_too(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    mined = list(sandbox.prompt_sets.get(name="mixed").prompts.order_by("pk")[:3])
    add_prompts(sandbox, "own", [p.text for p in mined])
    judges = {d: f"sandbox-{d}-eval" for d in ("helpful", "harmless", "truthful")}
    evaluate = {"prompts": "held-out", "n": 4, "judges": judges, "sets": {"helpful": "own"}}
    nothing = {"rule": "flat", "spread_above": 1}
    stages = finished(start(sandbox, owner, evaluate=evaluate, mine=nothing))
    assert stages["sample"].facts["held_out"] == 3
    scores = Score.objects.filter(rollout__sampling__stage=stages["evaluate"])
    judged = set(scores.values_list("judge__name", "rollout__prompt__prompt_set__name"))
    assert judged == {
        ("sandbox-helpful-eval", "own"),
        ("sandbox-harmless-eval", "held-out"),
        ("sandbox-truthful-eval", "held-out"),
    }
    (row,) = policy_table(Evaluation.objects.filter(stage=stages["evaluate"]))
    assert (row.rewards["helpful"].n, row.rewards["harmless"].n) == (3 * 4, 8 * 4)
    assert row.joint_pass_rate is None and row.hypervolume is not None
