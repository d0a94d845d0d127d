"""A review stage with many rewrites, and people: one new, one who has reviewed half, ten more."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.db import connection

from alignment.models import Membership, Project, Prompt, PromptSet, Role, Run, Stage
from alignment.services.keys import create_api_key
from alignment.services.queue import reviewer_of

SLUG = "bench"


def fill(items: int, *, overlap: int) -> Stage:
    """A waiting review stage with so many rewrites, none reviewed."""
    project = Project.objects.create(name="Bench", slug=SLUG)
    prompt_set = PromptSet.objects.create(project=project, name="seeds")
    text = "How do I mend a chair?"
    seed = Prompt.objects.create(prompt_set=prompt_set, text=text, key=Prompt.key_of(text))
    review = {"mode": "required", "overlap": overlap, "close_after_seconds": 3600}
    run = Run.objects.create(
        project=project, name="run", status="waiting", config={"review": review}
    )
    kinds = ("sample", "score", "mine", "rewrite")
    for position, kind in enumerate(kinds):
        Stage.objects.create(
            run=run, position=position, round=1, kind=kind, config={}, status="succeeded"
        )
    stage = Stage.objects.create(
        run=run,
        position=len(kinds),
        round=1,
        kind="review",
        config={"review": review, "seed": 1},
        status="waiting",
        total=items,
        unit="rewrites",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alignment_prompt (prompt_set_id, text, key, external_id, kind, parent_id,"
            " strategy, stage_id, meta, created_at) SELECT %s, 'How do I mend chair ' || n ||"
            " ', and which glue is safe to use in a room where children play?', md5(n::text), '',"
            " '', %s, 'fuse', %s, '{}', now() FROM generate_series(1, %s) n",
            [prompt_set.pk, seed.pk, run.stages.get(kind="rewrite").pk, items],
        )
        cursor.execute(
            "INSERT INTO alignment_reviewitem (stage_id, prompt_id, needs_person, needed, state,"
            " seen_by) SELECT %s, id, true, %s, 'pending', '{}' FROM alignment_prompt"
            " WHERE parent_id IS NOT NULL",
            [stage.pk, overlap],
        )
    return stage


def person(project: Project, name: str) -> User:
    user = User.objects.create_user(name)
    Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return user


def has_reviewed(stage: Stage, user: User, items: int) -> None:
    """Let the person have approved the stage's first so many rewrites, an hour each thousand
    ago."""
    me = reviewer_of(stage.run.project, user)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alignment_review (item_id, reviewer_id, decision, edited_text, reason,"
            " words, ratings, adjudicates, source, created_at) SELECT id, %s, 'approve', '', '',"
            " '', '{}', false, '', now() - interval '1 day' FROM alignment_reviewitem"
            " WHERE stage_id = %s ORDER BY id LIMIT %s",
            [me.pk, stage.pk, items],
        )
        cursor.execute(
            "UPDATE alignment_reviewitem SET seen_by = ARRAY[%s]::bigint[] WHERE id IN"
            " (SELECT item_id FROM alignment_review WHERE reviewer_id = %s)",
            [me.pk, me.pk],
        )
        cursor.execute("VACUUM ANALYZE")
    me.tallies.create(stage=stage, approve=items, open=items)


def key_of(user: User) -> str:
    return create_api_key(user=user, name="bench")[1]


def session_of(user: User) -> str:
    """The cookie of a signed-in session."""
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)
