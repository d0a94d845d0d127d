"""What checks a training, on a run's page: its gates, and the collapse gauge of the trained policy
beside the one before."""

from django.test import Client
from django.urls import reverse

from alignment.models import Run
from alignment.queries.runs import run_state
from tests.web.conftest import put, stage_of


def test_the_gauge_of_the_trained_policy_stands_beside_that_of_the_one_before(
    researcher: Client, run: Run
) -> None:
    def page() -> str:
        args = [run.project.slug, run.pk]
        return researcher.get(reverse("run", args=args)).content.decode()

    trained = {"entropy": 1.25, "repeated_ngrams": 0.5, "stopped_by_length": 0.25}
    start = {"entropy": 2.5, "repeated_ngrams": None, "stopped_by_length": 0.75}
    assert "Collapse gauge" not in page()
    put(stage_of(run, "train"), facts={"collapse": trained})  # the other was not gauged
    assert [(g.round, g.policy, g.entropy) for g in run_state(run.pk).gauges] == [
        (1, "trained", 1.25)
    ]
    assert "50 %" in page() and "trained from" not in page()
    put(stage_of(run, "train"), facts={"collapse": trained, "collapse_before": start})
    found = [(g.policy, g.entropy) for g in run_state(run.pk).gauges]
    assert found == [("trained from", 2.5), ("trained", 1.25)]
    assert "75 %" in page() and "no number<" in page()


def test_every_gate_is_shown_with_what_it_found(researcher: Client, run: Run) -> None:
    loss = {"name": "step-1 loss is ln 2", "passed": True, "value": 0.693148, "expected": 0.693147,
            "tolerance": 1e-4}  # fmt: skip
    same = {"name": "reference is unchanged", "passed": False, "value": "ab" * 32,
            "expected": "cd" * 32, "tolerance": 0}  # fmt: skip
    lost = {"name": "margins are those of the stored scores", "passed": False, "value": None,
            "expected": 0.0, "tolerance": 1e-9}  # fmt: skip
    put(stage_of(run, "train"), facts={"gates": [loss, same, lost]})
    page = researcher.get(reverse("run", args=[run.project.slug, run.pk])).content.decode()
    card = page[page.index('id="checks"') : page.index("</section>", page.index('id="checks"'))]
    assert "0.693148<" in card and "0.0001<" in card and ">abababababab<" in card
    assert card.count("passed</span>") == 1 and card.count("failed</span>") == 2
    assert ">none<" in card and "1e-09" in card
