"""Which prompts an evaluation was asked."""

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from alignment.models import Chunk, Evaluation, Project, Prompt, Run, Stage
from alignment.queries.asked import prompts_asked
from tests.results.conftest import MakeEvaluation

ROWS: list[Any] = [("a", "stop", [5, 1]), ("b", "stop", [5, 1]), ("c", "stop", [5, 1])]


def planned(made: Evaluation, *chunks: list[int], part: int = 0) -> Evaluation:
    if made.stage is None:
        run = Run.objects.create(project=made.project, name=made.label, config={})
        made.stage = Stage.objects.create(run=run, position=0, round=0, kind="evaluate", config={})
        made.save()
    for i, items in enumerate(chunks):
        Chunk.objects.create(stage=made.stage, part=part, index=i, items=items, size=len(items))
    return made


def test_it_is_what_was_planned_however_it_was_cut_and_whatever_was_answered(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    imported = make_evaluation("imported", [*ROWS, ROWS[0]])
    a, b, c = Prompt.objects.order_by("pk").values_list("pk", flat=True)
    one = planned(make_evaluation("one", ROWS[:1]), [c, a], [b])
    two = planned(make_evaluation("two", ROWS), [a], [b, c])
    planned(two, [a], part=1)
    fewer = planned(make_evaluation("fewer", ROWS), [a, b])
    found = prompts_asked([imported, one, two, fewer])
    assert found[imported.pk] == found[one.pk] == found[two.pk]
    assert (found[two.pk].prompts, found[fewer.pk].prompts) == (3, 2)
    assert found[fewer.pk].key != found[two.pk].key


def test_all_are_asked_for_in_two_queries(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    many = [make_evaluation(f"imported {i}", ROWS) for i in range(3)]
    pk = Prompt.objects.order_by("pk").values_list("pk", flat=True)[0]
    many += [planned(make_evaluation(f"run {i}", ROWS), [pk]) for i in range(3)]
    with CaptureQueriesContext(connection) as queries:
        prompts_asked(many)
    assert len(queries) == 2


def test_an_evaluation_without_rollouts_was_asked_nothing(make_evaluation: MakeEvaluation) -> None:
    nothing = make_evaluation("nothing", [])
    assert prompts_asked([nothing])[nothing.pk].prompts == 0
    assert prompts_asked([]) == {}
