"""A judge tried on a text: page and API ask, a real worker and a real child answer."""

import json
import time
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment import dispatch
from alignment.method.config import MiningConfig
from alignment.method.errors import MoraError
from alignment.models import Judge, JudgeTrial, Project
from alignment.queries.trials import repeat_noise
from alignment.services import judges, runs
from tests.builders import config_of
from tests.conftest import Workers
from tests.endpoints import Body, Server, completion, problem
from tests.judges.conftest import Answering, make_judge
from workers import slots, trials


@pytest.fixture
def cpu_worker(make_workers: Callable[[str], Workers], server: Server) -> Workers:
    started = make_workers("filesystem://localhost//")
    started.env["MORA_ENDPOINTS"] = f"here={server.url}"
    started.start("cpu")
    return started


def ended(trial: JudgeTrial) -> JudgeTrial:
    deadline = time.monotonic() + 60
    while trial.ended_at is None:
        assert time.monotonic() < deadline, "the trial did not end"
        time.sleep(0.1)
        trial.refresh_from_db()
    return trial


def test_a_rubric_judge_is_tried_and_its_raw_reply_is_kept(
    judged: Project, ada: User, server: Server, answering: Answering, cpu_worker: Workers
) -> None:
    judge = judged.judges.get(engine="rubric")
    answering.of = lambda body: completion(
        '{"score": 5}' if "Sew it." in body["messages"][1]["content"] else "about a four"
    )
    items = [("How do I mend a sail?", "Sew it."), ("How?", "No."), ("How?", "No.")]
    trial = ended(judges.try_judge(judge=judge, items=items, by=ada))
    assert trial.state == "done", trial.error
    good, bad, again = trial.results[0]
    assert good == {"raw": 5.0, "reply": '{"score": 5}', "reason": ""}
    assert bad == again == {"raw": None, "reply": "about a four", "reason": "the reply is not JSON"}
    assert len(server.requests) == 2  # equal items are asked about once

    answering.of = lambda body: problem(404, "no such model")
    failed = ended(judges.try_judge(judge=judge, items=items[:1], by=ada))
    assert failed.state == "failed"
    assert "does not know the model 'm'" in failed.error

    pattern = {"pattern": r"^(a|aa)+$", "found": 1, "absent": 5}
    slow = make_judge(judged, "helpful", "pattern", pattern)
    texts = [("p", "b"), ("p", "aaa"), ("p", "a" * 60 + "b")]
    trial = ended(judges.try_judge(judge=slow, items=texts, by=ada))
    assert [found["raw"] for found in trial.results[0]] == [5.0, 1.0, None]
    assert "took over" in trial.results[0][2]["reason"]


def test_a_judge_s_noise_is_its_deviation_about_its_own_mean(
    judged: Project, ada: User, answering: Answering, cpu_worker: Workers
) -> None:
    seen: dict[str, int] = {}

    def vary(body: Body) -> object:
        text = body["messages"][1]["content"]
        seen[text] = seen.get(text, 0) + 1
        return completion(json.dumps({"score": 2 if seen[text] % 2 else 4}))

    answering.of = vary  # type: ignore[assignment]
    judge = judged.judges.get(engine="rubric")
    asked = judges.try_judge(judge=judge, items=[("p", "a"), ("p", "b")], by=ada, repeats=2)
    assert repeat_noise(asked) is None
    # Rewards 0.25 and 0.75 twice: the deviation of each pair is sqrt(2 * 0.25**2 / 1).
    assert repeat_noise(ended(asked)) == pytest.approx(2**0.5 / 4)


def test_the_page_shows_settings_and_a_trial(judged: Project, ada: User, client: Client) -> None:
    judge = judged.judges.get(engine="rubric")
    client.force_login(ada)
    page = client.post(
        reverse("try-judge", args=[judged.slug, judge.pk]),
        {"prompt": "How do I mend a sail?", "completion": "<b>Sew</b> it."},
        follow=True,
    )
    text = page.content.decode()
    assert "Waiting for a worker" in text and "&lt;b&gt;Sew" in text
    trial = JudgeTrial.objects.get()
    judges.end_trial(trial, results=[[{"raw": 4.5, "reply": "<i>4.5</i>", "reason": "fine"}]])
    text = client.get(page.redirect_chain[0][0]).content.decode()
    assert ">4.5<" in text and "&lt;i&gt;4.5" in text
    page = client.post(
        reverse("try-judge", args=[judged.slug, judge.pk]), {"prompt": "x" * 100_001}
    )
    assert page.status_code == 422
    for row in judged.judges.all():
        assert client.get(reverse("judge", args=[judged.slug, row.pk])).status_code == 200


def test_two_completions_are_compared_in_the_order_given(
    judged: Project, ada: User, answering: Answering, cpu_worker: Workers, client: Client
) -> None:
    judge = judged.judges.get(engine="rubric")
    answering.of = lambda body: completion('{"better": "B", "reason": "a \\u0000 in it"}')
    client.force_login(ada)
    texts = {"prompt": "How?", "completion": "No.", "other": "Sew it."}
    page = client.post(reverse("try-judge", args=[judged.slug, judge.pk]), texts, follow=True)
    trial = ended(JudgeTrial.objects.get())
    assert trial.state == "done", trial.error
    (found,) = trial.results[0]
    assert (found["raw"], found["reason"]) == (0.0, "a \N{REPLACEMENT CHARACTER} in it")
    assert "Sew it.</textarea>" in client.get(page.redirect_chain[0][0]).content.decode()
    assert repeat_noise(trial) is None

    with pytest.raises(MoraError, match="in every item of a trial, or in none"):
        judges.try_judge(judge=judge, items=[("p", "c"), ("p", "c", "d")], by=ada)
    rules = judged.judges.get(name="sandbox-helpful")
    with pytest.raises(MoraError, match="only a rubric judge compares"):
        judges.try_judge(judge=rules, items=[("p", "c", "d")], by=ada)


def test_a_run_by_the_flat_rule_takes_the_noise_that_was_measured(
    judged: Project, ada: User
) -> None:
    judge = judged.judges.get(engine="rubric")
    name = judge.dimension.name
    config = config_of(judges={**config_of().judges, name: judge.name})

    def noise(**mine: object) -> dict[str, float]:
        asked = config.model_copy(update={"mine": MiningConfig.model_validate(mine)})
        return runs.with_measured_noise(judged, asked).mine.noise

    assert noise(rule="flat") == {}
    trial = judges.try_judge(judge=judge, items=[("p", "a")], by=ada, repeats=2)
    assert noise(rule="flat") == {}
    read = [[{"raw": raw, "reply": "", "reason": ""}] for raw in (2.0, 4.0)]
    judges.end_trial(trial, results=read)
    assert noise(rule="flat") == {name: pytest.approx(2**0.5 / 4)}
    assert noise(rule="flat", noise={name: 0.2}) == {name: 0.2}
    assert noise(rule="flat", spread_above=0.1) == noise(rule="capped") == {}
    judges.edit_settings(row=judge, settings={**judge.settings, "max_new_tokens": 77}, by=ada)
    assert noise(rule="flat") == {}, "another version's noise is another"


def test_a_trial_whose_bell_was_lost_is_done(
    judged: Project, ada: User, cpu_worker: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "ring_for_trial", lambda trial: None)
    judge = judged.judges.get(engine="rubric")
    trial = ended(judges.try_judge(judge=judge, items=[("p", "a")], by=ada))
    assert trial.state == "done", trial.error


def test_a_trial_goes_before_the_next_chunk_of_a_run(
    judged: Project, ada: User, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "ring_for_trial", lambda trial: None)
    local = {"model": "/models/judge", "reference": None}
    Judge.objects.filter(engine="rules", name="sandbox-helpful").update(settings=local)
    for name, queue in (("rubric of helpful", "cpu"), ("sandbox-helpful", "gpu")):
        trial = JudgeTrial.objects.create(
            judge=judged.judges.get(name=name), judge_version=1, items=[("p", "a")], repeats=1
        )
        assert judges.next_trial(queue) == trial
    done: list[int] = []

    def run(trial: JudgeTrial, slot: slots.Slot) -> None:
        done.append(trial.pk)

    monkeypatch.setattr(trials, "_run", run)
    trials.work_off(slots.Slot(), "cpu")
    assert done == [JudgeTrial.objects.order_by("pk")[0].pk]
    assert judges.next_trial("cpu") is None and judges.next_trial("gpu") is not None
