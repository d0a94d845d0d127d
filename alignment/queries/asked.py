"""Which prompts evaluations were asked, whatever their policies answered: only evaluations that
were asked the same ones are compared, and imported ones on those that all have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection

from alignment.models import Evaluation, Rollout


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A set of prompts: `key` is equal for equal sets, `prompts` is how many."""

    key: str
    prompts: int


def prompts_asked(evaluations: Sequence[Evaluation]) -> dict[int, Asked]:
    """By evaluation the prompts that it was asked: those its stage planned to sample, or those of
    the rollouts of one that no stage planned, as imported ones are. Two queries at most."""
    planned = _found(_PLANNED, (e.stage_id for e in evaluations))
    others = [e.sampling_id for e in evaluations if e.stage_id not in planned]
    answered = _found(_ANSWERED, others)
    nothing = Asked(key="", prompts=0)
    return {
        e.pk: planned.get(e.stage_id) or answered.get(e.sampling_id, nothing) for e in evaluations
    }


def imported_from(evaluations: Iterable[Evaluation]) -> dict[int, tuple[str, frozenset[int]]]:
    """By the sampling of an imported evaluation the set that its prompts are from, and their ids;
    none of one without rollouts. One query."""
    samplings = [e.sampling_id for e in evaluations if e.stage_id is None]
    rows = Rollout.objects.filter(sampling__in=samplings).order_by()
    found = rows.values_list("sampling", "prompt__prompt_set__name")
    own = found.annotate(prompts=ArrayAgg("prompt", distinct=True))
    return {sampling: (name, frozenset(prompts)) for sampling, name, prompts in own}


def _found(query: str, ids: Iterable[int | None]) -> dict[int | None, Asked]:
    wanted = sorted({pk for pk in ids if pk is not None})
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(query, [wanted])
        return {pk: Asked(key=key, prompts=n) for pk, key, n in cursor.fetchall()}


# A set's hash is the same however its prompts were cut into chunks.
_PLANNED = """
    SELECT stage_id, md5(string_agg(item, ',' ORDER BY item)), count(*)
    FROM alignment_chunk, jsonb_array_elements_text(items) AS item
    WHERE part = 0 AND stage_id = ANY(%s) GROUP BY stage_id
"""
_ANSWERED = """
    SELECT sampling_id, md5(string_agg(prompt, ',' ORDER BY prompt)), count(*)
    FROM (SELECT DISTINCT sampling_id, prompt_id::text AS prompt FROM alignment_rollout
          WHERE sampling_id = ANY(%s)) AS found
    GROUP BY sampling_id
"""
