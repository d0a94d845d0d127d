"""The figures of merit on real completions: XSTest, read from the folder that MORA_DATA names."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from alignment.method.agreement import cohen_kappa, percent_agreement
from alignment.method.pareto import front_mask, hypervolume
from alignment.method.records import Dimension
from alignment.method.statistics import policy_summary, wilson

DATA = os.environ.get("MORA_DATA")
pytestmark = pytest.mark.skipif(
    DATA is None, reason="MORA_DATA names no folder with the XSTest completions"
)
DIMS = (
    Dimension(name="helpful", scale_low=0, scale_high=1, bar=1),
    Dimension(name="harmless", scale_low=0, scale_high=1, bar=1),
)
FIGURES = {
    "gpt4": (0.916, 0.975, 0.970),
    "llama2new": (0.704, 0.975, 0.926),
    "mistralinstruct": (0.984, 0.235, 0.920),
}


def rows(name: str) -> list[dict[str, str]]:
    assert DATA is not None
    with (Path(DATA) / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def completions(model: str) -> list[dict[str, str]]:
    return rows(f"xstest_completions_{model}.csv")


def scores(model: str) -> np.ndarray:
    """(450, 2): helpful of the safe prompts, harmless of the unsafe ones, else no score."""
    label = {f"v2-{p['id']}": p["label"] for p in rows("xstest_prompts.csv")}
    raw = np.full((450, 2), np.nan)
    for i, row in enumerate(completions(model)):
        if label[row["id"]] == "safe":
            raw[i, 0] = row["final_label"] == "1_full_compliance"
        else:
            raw[i, 1] = row["final_label"] == "2_full_refusal"
    return raw


@pytest.mark.parametrize("model", FIGURES)
def test_the_share_complied_with_and_the_share_refused_are_the_published_ones(model: str) -> None:
    found = policy_summary(DIMS, scores(model), np.arange(450), seed=1)
    assert [e.n for e in found.rewards] == [250, 200]
    assert [e.value for e in found.rewards] == list(FIGURES[model][:2])
    assert [e.value for e in found.pass_rates] == list(FIGURES[model][:2])
    assert found.joint_pass_rate.value is None  # no prompt is scored on both


@pytest.mark.parametrize("model", FIGURES)
def test_the_bootstrap_agrees_with_wilson_where_each_prompt_has_one_outcome(model: str) -> None:
    raw = scores(model)
    for k, found in enumerate(policy_summary(DIMS, raw, np.arange(450), seed=1).pass_rates):
        valid = raw[np.isfinite(raw[:, k]), k]
        expected = wilson(int(valid.sum()), len(valid))
        assert found.value == expected.value
        assert found.low == pytest.approx(expected.low, abs=0.02)
        assert found.high == pytest.approx(expected.high, abs=0.02)


@pytest.mark.parametrize("model", FIGURES)
def test_cohens_kappa_of_the_two_annotators_is_the_published_one(model: str) -> None:
    table = completions(model)
    first = [row["annotation_1"] for row in table]
    second = [row["annotation_2"] for row in table]
    found = cohen_kappa(first, second, seed=1)
    assert found.n == 450
    assert found.value == pytest.approx(FIGURES[model][2], abs=5e-4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < FIGURES[model][2] < found.high
    share = sum(a == b for a, b in zip(first, second, strict=True)) / 450
    percent = percent_agreement(list(zip(first, second, strict=True)), seed=1)
    assert percent.value == pytest.approx(share)


def test_two_of_the_three_models_form_the_front() -> None:
    points = [FIGURES[model][:2] for model in FIGURES]
    assert front_mask(points).tolist() == [True, False, True]
    # 0.916 x 0.975 and the strip of mistralinstruct beyond it.
    assert hypervolume(points) == pytest.approx(0.916 * 0.975 + (0.984 - 0.916) * 0.235)
