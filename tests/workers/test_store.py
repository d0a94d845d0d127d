"""What engines give goes into the database whole, whatever it holds."""

from alignment.models import Policy, Prompt, Rollout, Sampling
from tests.builders import ready_project
from workers import store


def test_a_completion_with_a_nul_is_kept_with_a_mark_in_its_place(db: None) -> None:
    project = ready_project("model")
    sampling = Sampling.objects.create(
        project=project, policy=Policy.objects.get(project=project), engine="transformers"
    )
    prompt = Prompt.objects.order_by("pk")[0]
    store.write_rollouts(sampling.pk, [(prompt.pk, 0, "a\0b\\0 \t\n", 3, "stop", 7)])
    assert Rollout.objects.get().text == "a\N{REPLACEMENT CHARACTER}b\\0 \t\n"
