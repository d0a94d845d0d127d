"""A rewrite as the API gives it out: its texts, the person's draft and what is left to do."""

import json
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from alignment.models import ReviewItem

_AROUND = """
SELECT w.id, coalesce(t.open, 0), coalesce(t.approve + t.edit + t.reject, 0),
  d.id IS NOT NULL, d.decision, d.text, d.reason, d.words, d.ratings::text, d.saved_at,
  (SELECT max(version) FROM alignment_guideline g WHERE g.project_id = %(project)s),
  (SELECT v.missing FROM alignment_verdict v JOIN alignment_stage m
     ON v.stage_id = coalesce(m.reused_from_id, m.id)
   WHERE m.run_id = %(run)s AND m.round = %(round)s AND m.kind = 'mine'
     AND v.prompt_id = %(parent)s)
FROM (SELECT 1) one
LEFT JOIN alignment_reviewer w ON w.project_id = %(project)s AND w.user_id = %(user)s
LEFT JOIN alignment_reviewtally t ON t.reviewer_id = w.id AND t.stage_id = %(stage)s
LEFT JOIN alignment_reviewdraft d ON d.reviewer_id = w.id AND d.item_id = %(item)s
"""
_DRAFT = ("decision", "text", "reason", "words", "ratings", "saved_at")


def card(item: ReviewItem, viewer: User) -> dict[str, Any]:
    """The fields of `CardOut`; the lease only where the person holds it."""
    stage, parent = item.stage, item.prompt.parent
    values = {
        "project": stage.run.project_id,
        "run": stage.run_id,
        "round": stage.round,
        "stage": stage.pk,
        "parent": item.prompt.parent_id,
        "user": viewer.pk,
        "item": item.pk,
    }
    with connection.cursor() as cursor:
        cursor.execute(_AROUND, values)
        me, opened, given, has_draft, *draft, version, missing = cursor.fetchone()
    held = me is not None and item.held_by_id == me
    left = stage.total - stage.done
    kept = dict(zip(_DRAFT, draft, strict=True)) if has_draft else None
    return {
        "id": item.pk,
        "stage": item.stage_id,
        "run": stage.run_id,
        "state": item.state,
        "original": parent.text if parent else "",
        "rewrite": item.prompt.text,
        "strategy": item.prompt.strategy,
        "missing": missing or [],
        "lease": item.lease if held else None,
        "lease_expires_at": item.lease_expires_at if held else None,
        "guideline": version,
        "draft": kept and {**kept, "ratings": json.loads(kept["ratings"])},
        "left": left,
        "left_for_me": left - stage.disputed - opened,
        "mine": given,
    }
