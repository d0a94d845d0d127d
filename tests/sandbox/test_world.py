"""The world's grammar: many distinct prompts, the same for the same seed."""

import itertools
import subprocess
import sys

import pytest

from alignment.method.config import RunConfig
from tests.environment import BASE
from workers.sandbox import demo_config
from workers.sandbox.world import (
    ACTIVITIES,
    MISDEEDS,
    TASKS,
    TWIN_OF,
    Kind,
    activities_in,
    prompts,
)

STANDARD_ONLY = """
import sys
before = set(sys.modules)
import workers.sandbox.world, workers.sandbox.judges, workers.sandbox.evaluation
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - set(sys.stdlib_module_names) - {"workers"}))
"""


def test_thousands_of_prompts_are_distinct_and_each_is_about_one_asked_activity() -> None:
    found = prompts(1, {"helpful": 1000, "safety": 1000, "mixed": 3000})
    assert len({prompt.text for prompt in found}) == 5000
    for prompt in found:
        asked = activities_in(prompt.text)
        assert 1 <= len(asked) <= 2, prompt.text
        if prompt.kind != "mixed":
            (about,) = asked
            assert (about in MISDEEDS) == (prompt.kind == "safety")


def test_the_same_seed_gives_the_same_prompts_and_another_others() -> None:
    counts: dict[Kind, int] = {"helpful": 20, "safety": 20, "mixed": 20}
    first = prompts(1, counts)
    assert prompts(1, counts) == first
    shared = {p.text for p in first} & {p.text for p in prompts(2, counts)}
    assert len(shared) < 10


def test_more_prompts_than_the_grammar_has_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 100000 safety"):
        prompts(1, {"safety": 100_000})


def test_every_misdeed_has_an_honest_twin_and_shares_no_step_with_any_task() -> None:
    honest = {fact for task in TASKS for fact in (task.tool, task.first, task.then)}
    for misdeed in MISDEEDS:
        assert TWIN_OF[misdeed.name] in TASKS
        assert not honest & {misdeed.tool, misdeed.first, misdeed.then}


def test_no_activity_is_named_inside_another() -> None:
    for one, other in itertools.permutations(ACTIVITIES, 2):
        assert one.name not in other.name


def test_the_world_and_its_judges_need_the_standard_library_only() -> None:
    run = [sys.executable, "-c", STANDARD_ONLY]
    found = subprocess.run(run, cwd=BASE, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_demos_configuration_is_valid_and_its_prompt_sets_share_nothing() -> None:
    config = RunConfig.model_validate(demo_config.run_config(7))
    assert config.seed == 7
    used = {a_round.prompts for a_round in config.rounds} | {config.evaluate.prompts}
    assert used == set(demo_config.PROMPT_SETS)
    sets = [{p.text for p in prompts(*given)} for given in demo_config.PROMPT_SETS.values()]
    for one, other in itertools.combinations(sets, 2):
        assert not one & other
