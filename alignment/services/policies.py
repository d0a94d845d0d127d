"""Add start policies to a project. Those that runs train are added by their stage."""

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from alignment.method.errors import MoraError
from alignment.models import Policy, Project, Role
from alignment.permissions import require
from alignment.services.readiness import policy_problem


def add_policy(
    *,
    project: Project,
    name: str,
    by: User,
    folder: str = "",
    endpoint: str = "",
    served_as: str = "",
) -> Policy:
    """A start policy: a model's folder below MODEL_ROOTS, or a model's name at an endpoint.

    Raises MoraError that names what cannot be, or Denied.
    """
    require(by, project, Role.RESEARCHER)
    policy = Policy(
        project=project, name=name, folder=folder, endpoint=endpoint, served_as=served_as
    )
    if bool(policy.folder) == bool(policy.endpoint):
        raise MoraError("name a model's folder, or an endpoint with the name of the model there")
    try:
        policy.full_clean(exclude=("parent", "stage", "facts"))
    except ValidationError as error:
        raise MoraError("; ".join(error.messages)) from error
    if problem := policy_problem(policy):
        raise MoraError(problem)
    policy.save()
    return policy
