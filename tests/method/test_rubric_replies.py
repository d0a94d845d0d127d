"""A rubric judge's reply: strict JSON or a first line, else no score."""

import pytest

from alignment.method.judging import (
    PatternSettings,
    Reference,
    RewardSettings,
    RubricSettings,
    parse_rubric,
    rubric_conversation,
    rubric_template,
)
from alignment.method.records import Dimension

HELPFUL = Dimension(name="helpful", scale_low=1, scale_high=5, bar=4)
COST = Dimension(name="cost", scale_low=0, scale_high=10, bar=3, higher_is_better=False)
MODEL = {"engine": "endpoint", "endpoint": "here", "model": "m"}


def settings(**changes: object) -> RubricSettings:
    return RubricSettings.model_validate({"model": MODEL, **changes})


@pytest.mark.parametrize(
    ("reply", "raw", "reason"),
    [
        ('{"score": 4, "reason": "clear"}', 4.0, "clear"),
        ('  {"reason": "odd order", "score": 4.5}\n', 4.5, "odd order"),
        ('{"score": 1}', 1.0, ""),
        ("", None, "not JSON"),
        ("4", None, "not an object"),
        ('[{"score": 4}]', None, "not an object"),
        ('Here you are: {"score": 4}', None, "not JSON"),
        ('```json\n{"score": 4}\n```', None, "not JSON"),
        ('{"score": "4"}', None, "not a number"),
        ('{"score": true}', None, "not a number"),
        ('{"score": null}', None, "not a number"),
        ('{"score": NaN}', None, "not a finite number"),
        ('{"score": 1' + "0" * 400 + "}", None, "not a finite number"),
        ('{"score": 4, "verdict": "good"}', None, "not an object with a score"),
        ('{"reason": "none given"}', None, "not an object with a score"),
        ('{"score": 6}', None, "outside the scale 1 to 5"),
        ('{"score": 0}', None, "outside the scale"),
        ("[" * 100_000, None, "not JSON"),
    ],
)
def test_a_reply_in_json(reply: str, raw: float | None, reason: str) -> None:
    found = parse_rubric(settings(), HELPFUL, reply)
    assert (found.raw, found.reply) == (raw, reply)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("reply", "raw"),
    [
        ("4", 4.0),
        ("\n  3.5 \nbecause it is short", 3.5),
        ("+2", 2.0),
        ("4/5", None),
        ("Score: 4", None),
        ("four", None),
        ("", None),
        ("7", None),
        ("-1", None),
        ("1e0", None),
        ("4.", None),
        ("\u0664", 4.0),  # the digit four, of another script
    ],
)
def test_a_reply_by_its_first_line(reply: str, raw: float | None) -> None:
    assert parse_rubric(settings(parse="first_line"), HELPFUL, reply).raw == raw


def test_the_shipped_template_names_the_ends_and_fences_the_texts() -> None:
    turns = rubric_conversation(settings(), HELPFUL, "How? {low}", "So: {mark}.")
    assert [turn["role"] for turn in turns] == ["system", "user"]  # type: ignore[index]
    asked = turns[1]["content"]  # type: ignore[index]
    assert "1: nothing of use" in asked and "5: complete" in asked
    assert "How? {low}\n=== end" in asked and "So: {mark}.\n=== end" in asked
    fence = asked.split("=== request ")[1].split(" ===")[0]
    assert asked.count(fence) == 4


def test_of_what_less_is_better_none_at_all_is_the_best_score() -> None:
    asked = rubric_conversation(settings(), COST, "p", "c")[1]["content"]  # type: ignore[index]
    assert '"cost"' in asked and "0: none at all. 10: as much as can be." in asked
    assert "Give a number from 0 to 10." in asked
    assert COST.normalise([0.0, 10.0]).tolist() == [1.0, 0.0]


def test_low_and_high_are_the_worst_and_the_best_score() -> None:
    own = settings(template="{low} is bad, {high} is good: {completion}")
    asked = rubric_conversation(own, COST, "p", "c")[1]["content"]  # type: ignore[index]
    assert asked == "10 is bad, 0 is good: c"


def test_a_template_that_shows_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must hold \{completion\}"):
        settings(template="Grade {prompt}")
    with pytest.raises(ValueError, match=r"must hold \{prompt\}"):
        settings(prompt_template="Grade it")
    assert "{completion}" in rubric_template("anything")


def test_an_endpoint_is_named_with_its_engine_only() -> None:
    with pytest.raises(ValueError, match="`endpoint` is needed"):
        settings(model={"engine": "endpoint", "model": "m"})
    with pytest.raises(ValueError, match="`endpoint` is needed"):
        settings(model={"engine": "vllm", "endpoint": "here", "model": "m"})


def test_an_unbounded_value_goes_on_the_scale_by_two_quantiles() -> None:
    reference = Reference(low=-2.0, high=6.0, quantiles=(0.05, 0.95), n=100, trial=1)
    assert [reference.on_scale(v, HELPFUL) for v in (-2, 2, 6, 10)] == [1, 3, 5, 7]
    assert HELPFUL.clipped_share([1, 3, 5, 7]) == 0.25
    with pytest.raises(ValueError, match="fit no scale"):
        Reference(low=1.0, high=1.0, quantiles=(0.05, 0.95), n=100, trial=1)


def test_a_value_runs_the_way_of_raw_scores_and_a_weight_of_minus_1_turns_it() -> None:
    reference = Reference(low=-2.0, high=6.0, quantiles=(0.05, 0.95), n=100, trial=1)
    raw = [reference.on_scale(v, COST) for v in (-2, 2, 6)]
    assert raw == [0, 5, 10], "what costs much has a high raw score"
    assert COST.normalise(raw).tolist() == [1, 0.5, 0], "which is bad where lower is better"
    turned = RewardSettings(model="m", weights=(-1.0,))
    assert turned.value([6.0]) == -6 and RewardSettings(model="m").value([6.0]) == 6


def test_heads_are_weighted_and_must_be_there() -> None:
    two = RewardSettings(model="m", heads=(7, 8))
    outputs = [float(i) for i in range(10)]
    assert two.value(outputs) == 7.5
    assert RewardSettings(model="m", heads=(9, 1), weights=(1, -2)).value(outputs) == 7
    with pytest.raises(ValueError, match="has 2 heads, none numbered 8"):
        two.value([0.0, 1.0])
    with pytest.raises(ValueError, match="as many as heads"):
        RewardSettings(model="m", weights=(1.0, 2.0))
    with pytest.raises(ValueError, match="different indexes"):
        RewardSettings(model="m", heads=(1, 1))
    with pytest.raises(ValueError, match="gives logits only"):
        RewardSettings(model="m", engine="vllm", output="end_scores")
    with pytest.raises(ValueError, match="turn remote_code off"):
        RewardSettings(model="m", output="end_scores", remote_code=True)
    with pytest.raises(ValueError, match="no model's own code"):
        RewardSettings(model="m", engine="vllm", remote_code=True)


def test_a_pattern_must_compile() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        PatternSettings(pattern="(", found=1, absent=0)
