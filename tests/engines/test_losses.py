"""TRL's losses: each is at h = 0 what its formula says, which is the gate of every training."""

from math import log
from pathlib import Path

import pytest

from alignment.method.config import TrainConfig
from alignment.method.losses import AT_ZERO, loss_at_zero, parse_losses
from tests.engines.test_trainer import PAIRS


def test_losses_are_named_with_weights() -> None:
    assert parse_losses("sigmoid") == {"sigmoid": 1.0}
    assert parse_losses(" sigmoid = 1, sft=0.2") == {"sigmoid": 1.0, "sft": 0.2}
    for text, sentence in (
        ("", "no loss ''"),
        ("sigmod", "no loss 'sigmod'"),
        ("sigmoid=0", "one weight above 0"),
        ("sigmoid=much", "one weight above 0"),
        ("sigmoid,sigmoid", "one weight above 0"),
        ("sigmoid=nan", "one weight above 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            parse_losses(text)
    with pytest.raises(ValueError, match="label_smoothing above 0"):
        TrainConfig(loss="exo_pair")


def test_the_value_at_zero_is_the_weighted_sum() -> None:
    assert loss_at_zero({"sigmoid": 1.0}, 0.1, 0) == pytest.approx(0.693147, abs=1e-6)
    assert loss_at_zero({"sigmoid": 1.0, "hinge": 0.5}, 0.1, 0) == pytest.approx(log(2) + 0.5)
    assert loss_at_zero({"ipo": 1.0}, 0.1, 0) == pytest.approx(25)
    assert loss_at_zero({"sppo_hard": 1.0}, 0.5, 0) == pytest.approx(2)
    assert loss_at_zero({"sigmoid": 1.0, "sft": 0.1}, 0.1, 0) is None


@pytest.mark.xdist_group("trainer")
def test_every_loss_of_trl_has_its_value_before_training(tiny_policy: Path, tmp_path: Path) -> None:
    from workers.engines import gates, pairs, trainer
    from workers.engines.encoding import load_tokenizer

    for name in AT_ZERO:
        smoothing = 0.1 if name in ("exo_pair", "robust", "aot") else 0.0
        settings = TrainConfig(
            loss=f"{name}=0.5", batch_pairs=4, max_length=128, beta=0.2, label_smoothing=smoothing
        )
        folder = tmp_path / name
        made = trainer._trainer(
            tiny_policy,
            load_tokenizer(tiny_policy),
            settings,
            trainer._arguments(settings, 1, folder),
            pairs.saved(PAIRS[:4], folder / "pairs"),
        )
        found = gates.first_loss(made, 4)
        checked = gates.loss_gates(settings, found)
        if name == "sft":
            assert checked == [] and found > 1
        else:
            assert [gate["passed"] for gate in checked] == [True], (name, checked)
            assert found > 0.1


def test_a_gate_of_a_small_loss_does_not_pass_without_one() -> None:
    from workers.engines import gates

    (gate,) = gates.loss_gates(TrainConfig(loss="ipo", beta=50), 0.0)
    assert gate["expected"] == pytest.approx(1e-4) and not gate["passed"]
    (usual,) = gates.loss_gates(TrainConfig(), 0.69319)
    assert usual["passed"] and usual["tolerance"] == 1e-4
