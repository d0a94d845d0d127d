"""What the side bar shows a person: the pages that their role opens, with their counts."""

from typing import Any

from django.contrib.auth.models import User

from alignment.models import Project, Role
from alignment.permissions import ORDER, role_in
from alignment.queries.own_reviews import left_for
from alignment.queries.projects import counts


def side_bar(user: User, project: Project | None) -> dict[str, Any]:
    """What `partials/_nav.html` takes, but for the current page."""
    role = role_in(user, project) if project else None
    rank = ORDER.index(role) if role else -1
    return {
        "user": user,
        "project": project,
        "may_review": rank >= ORDER.index(Role.ANNOTATOR),
        "may_lead": rank >= ORDER.index(Role.ADJUDICATOR),
        "counts": counts(project) if project else None,
        "left": left_for(project, user) if project else 0,
    }
