"""What shows on every training that it did what it says: its step-1 loss, its reference's hash."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from trl import DPOTrainer

from alignment.method.config import TrainConfig
from alignment.method.losses import loss_at_zero
from workers.engines.folders import fingerprint

TOLERANCE = 1e-4  # of the step-1 loss, in float32, and of one that is small a hundredth of it
ROUNDING = 4 * torch.finfo(torch.float32).eps  # what float32 can tell of a loss that is large


def loss_gates(settings: TrainConfig, value: float) -> list[dict[str, Any]]:
    """The step-1 loss beside what it must be; none where a loss has no value at h = 0."""
    losses = settings.losses
    expected = loss_at_zero(losses, settings.beta, settings.label_smoothing)
    if expected is None:
        return []
    told = "ln 2" if losses == {"sigmoid": 1.0} else f"{settings.loss} at h = 0"
    least = min(TOLERANCE, expected / 100) if expected else TOLERANCE
    tolerance = max(least, ROUNDING * expected)
    return [gate(f"step-1 loss is {told}", value, expected, tolerance)]


def first_loss(trainer: DPOTrainer, batch_pairs: int) -> float:
    """The loss on the first pairs before any step, with dropout off."""
    rows = [trainer.train_dataset[i] for i in range(min(batch_pairs, len(trainer.train_dataset)))]
    batch = trainer._prepare_inputs(trainer.data_collator(rows))
    trainer.model.eval()
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model, batch))


def hash_reference(model: torch.nn.Module, folder: Path) -> str:
    """SHA-256 over names and values of the parameters that are not the adapter's; where all
    weights are trained, the hash of the folder that the reference was read from."""
    if not any("lora_" in name for name, _ in model.named_parameters()):
        return fingerprint(folder)
    digest = sha256()
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" not in name:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def gate(name: str, value: Any, expected: Any, tolerance: float) -> dict[str, Any]:
    passed = value == expected if tolerance == 0 else abs(value - expected) <= tolerance
    return {
        "name": name,
        "passed": passed,
        "value": value,
        "expected": expected,
        "tolerance": tolerance,
    }
