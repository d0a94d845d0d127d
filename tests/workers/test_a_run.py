"""A whole run through real workers, a real broker and real children."""

from django.contrib.auth.models import User

from alignment.models import Chunk, Evaluation, Pair, Policy, Project, Prompt, Rollout, Run, Score
from alignment.queries.compare_arms import arms_of
from alignment.services import runs
from tests.builders import make_run
from tests.conftest import Workers, wait_for_run
from tests.outcome import outcome_of

NOTHING = {"rule": "flat", "spread_above": 1}  # no reward in [0, 1] varies so much


def start(project: Project, by: User, **changes: object) -> Run:
    run = make_run(project, by, **changes)  # type: ignore[arg-type]
    runs.start_run(run=run, by=by)
    return run


def test_a_run_goes_through_its_stages_and_is_reused_by_its_twin(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    run = wait_for_run(start(sandbox, owner))
    stages = {(s.round, s.kind): s for s in run.stages.all()}
    assert run.status == "succeeded", [(s.kind, s.status, s.reason) for s in stages.values()]
    assert not any(s.reason.startswith("skipped") for s in stages.values())
    assert all(s.done == s.total for s in stages.values())
    assert set(Chunk.objects.values_list("state", flat=True)) == {"done"}

    sampled = Rollout.objects.filter(sampling__stage=stages[1, "sample"])
    assert sampled.count() == 20 * 8
    assert Score.objects.filter(rollout__in=sampled).count() == 20 * 8 * 3
    mined = stages[1, "mine"].verdicts.filter(mined=True).count()
    rewrites = Prompt.objects.filter(stage=stages[1, "rewrite"])
    assert 0 < rewrites.count() <= mined
    again = Rollout.objects.filter(sampling__stage=stages[1, "resample"])
    assert again.count() == rewrites.count() * 8
    pairs = Pair.objects.filter(stage=stages[1, "pair"])
    assert pairs.count() == stages[1, "pair"].facts["yield"]["taken"] > 0
    for pair in pairs:
        assert pair.margin >= 0.1
        assert pair.gaps["harmless"] > 0
        assert min(pair.gaps.values()) >= 0
    policy = Policy.objects.get(stage=stages[1, "train"])
    assert policy.parent == Policy.objects.get(name="start")
    assert stages[1, "train"].facts["gates_failed"] == []
    (margins,) = [g for g in stages[1, "train"].facts["gates"] if "margins" in g["name"]]
    assert margins["value"] < 1e-9
    evaluations = Evaluation.objects.order_by("pk")
    assert [e.policy.name for e in evaluations] == ["start", policy.name]
    assert [e.seq for e in run.events.all()] == list(range(1, run.seq + 1))

    twin = wait_for_run(start(sandbox, owner, name="twin"), 30)
    reused = twin.stages.exclude(reused_from=None).count()
    assert (twin.status, reused) == ("succeeded", len(stages))
    assert Rollout.objects.filter(sampling__stage__run=twin).count() == 0

    other = wait_for_run(start(sandbox, owner, name="other", seed=8))
    assert other.status == "succeeded"
    assert outcome_of(other) != outcome_of(run)


def test_a_run_that_finds_nothing_to_mine_succeeds_and_says_so(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    run = wait_for_run(start(sandbox, owner, mine=NOTHING))
    assert run.status == "succeeded"
    stages = {s.kind: s for s in run.stages.filter(round=1)}
    assert stages["mine"].reason.startswith("nothing mined from 20 prompts")
    assert stages["train"].reason == f"skipped: {stages['mine'].reason}"
    evaluation = Evaluation.objects.get(stage=stages["evaluate"])
    assert evaluation.label == f"{run.name}: after round 1, which trained nothing"
    (arm,) = [a for a in arms_of(sandbox) if a.round == 1]
    assert (arm.name, arm.untrained) == (f"{run.name} (not trained)", (run.config["seed"],))


def test_review_waits_for_people_and_the_run_goes_on_after_the_last_decision(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    from alignment.services.answers import Answer
    from alignment.services.reviews import decide_rewrite

    run = start(sandbox, owner, review={"mode": "required", "close_after_seconds": 1})
    wait_for_run(run, until=("waiting", "failed"))
    items = list(run.stages.get(kind="review").review_items.all())
    assert items
    reject = Answer(decision="reject", reason="not_natural", words="odd")
    decide_rewrite(item=items[0], by=owner, answer=reject)
    text = items[1].prompt.text + " Please be brief."
    decide_rewrite(item=items[1], by=owner, answer=Answer(decision="edit", text=text))
    for item in items[2:]:
        decide_rewrite(item=item, by=owner, answer=Answer(decision="approve"))
    wait_for_run(run)
    assert run.status == "succeeded"
    sampled = run.stages.get(kind="resample").sampling.rollouts
    texts = set(sampled.values_list("prompt__text", flat=True))
    assert text in texts
    assert items[0].prompt.text not in texts
    assert len(texts) == len(items) - 1


def test_a_cancelled_run_stops_and_goes_on_when_retried(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    run = start(sandbox, owner)
    wait_for_run(run, until=("running",))
    runs.cancel_run(run=run, by=owner)
    wait_for_run(run, 10)
    assert run.status == "cancelled"
    assert not Chunk.objects.filter(state="claimed").exists()
    runs.retry_run(run=run, by=owner)
    wait_for_run(run)
    assert run.status == "succeeded"
