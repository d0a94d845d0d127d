"""The `trl` trainer: DPO with LoRA from one policy, which is also the frozen reference.

Float32 on one device. It resumes from the last whole checkpoint in its work folder and then gives
the same adapter, byte for byte on a CPU, as an undisturbed run. Merging is done here, for policies
are sampled merged. Other losses than DPO's sigmoid are not here.
"""

import json
import logging
import math
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from alignment.method.config import TrainConfig
from alignment.method.errors import MoraError
from alignment.model_folders import check_model
from workers.engines import checkpoints
from workers.engines.collapse import gauge
from workers.engines.encoding import check_template
from workers.engines.engine import Engine, Progress, Spec
from workers.engines.folders import fingerprint, publish
from workers.engines.sampler import load_model, make_deterministic

log = logging.getLogger("mora.trainer")

Pair = dict[str, str]
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj"]
TOLERANCE = 1e-4  # of the step-1 loss, in float32
METRICS = {
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "epoch": "epoch",
}


def load(spec: Spec) -> Engine:
    """Check the model; it is loaded anew by each call, for training changes it."""
    torch.set_num_threads(spec.get("threads", 2))
    make_deterministic()
    model = Path(spec["model"])
    check_model(model)
    return Engine(
        version=f"trl {trl.__version__}",
        calls={"train": lambda args, progress: train(model, **args, progress=progress)},
    )


def train(
    model: Path,
    pairs: list[Pair],
    config: dict[str, Any],
    seed: int,
    directory: str,
    probes: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """Train on the pairs and publish `adapter` and `merged` in the directory.

    Gives folders, hashes, steps, pairs dropped by truncation, the step-1 loss, the gates and the
    collapse gauge on the probes. Raises MoraError when no pair fits or the loss is not finite.
    """
    work = Path(directory)
    settings = TrainConfig(**config)
    scratch = _scratch(work)
    trainer = _trainer(model, pairs, settings, seed, work / _key(model, pairs, settings, seed))
    before = _hash_reference(trainer.model)
    first_loss = _first_loss(trainer, settings.batch_pairs)
    _run(trainer, progress)
    after = _hash_reference(trainer.model)
    kept = len(trainer.train_dataset)
    _publish(trainer, work)
    shutil.rmtree(scratch)
    return {
        "adapter": str(work / "adapter"),
        "merged": str(work / "merged"),
        "sha256": {
            **_fingerprints(model, work),
            "reference_before": before,
            "reference_after": after,
        },
        "steps": trainer.state.global_step,
        "dropped_by_truncation": len(pairs) - kept,
        "loss_step1": first_loss,
        "gates": [
            _gate("step-1 loss is ln 2", first_loss, math.log(2), TOLERANCE),
            _gate("reference is unchanged", after, before, 0),
        ],
        "collapse": gauge(work / "merged", probes, seed),
    }


def _fingerprints(model: Path, work: Path) -> dict[str, str]:
    """Of the weight files: what was made, and what it was made from."""
    folders = {"adapter": work / "adapter", "merged": work / "merged", "reference": model}
    return {name: fingerprint(folder) for name, folder in folders.items()}


def _run(trainer: DPOTrainer, progress: Progress) -> None:
    """All steps, or those after the newest whole checkpoint."""
    trainer.add_callback(_Reporter(progress))
    last = checkpoints.newest(Path(trainer.args.output_dir))
    log.info("training %s", f"resumes from {last.name}" if last else "starts")
    trainer.train(resume_from_checkpoint=str(last) if last else None)


class _Trainer(DPOTrainer):
    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: it would be written with every checkpoint, and nobody reads it there."""


class _Reporter(TrainerCallback):
    """Sends every step's metrics, stops on a loss that is not finite, seals checkpoints."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return  # the summary after the last step
        metrics = {name: logs[key] for key, name in METRICS.items() if key in logs}
        if not all(math.isfinite(value) for value in metrics.values()):
            raise MoraError(
                f"Training left the finite numbers at step {state.global_step}; lower the "
                "learning rate."
            )
        log.info("step %s of %s: loss %.4f", state.global_step, state.max_steps, logs["loss"])
        self.progress({"step": state.global_step, "steps": state.max_steps, "metrics": metrics})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def _trainer(
    model: Path, pairs: list[Pair], settings: TrainConfig, seed: int, output: Path
) -> DPOTrainer:
    policy, tokenizer = load_model(model, "float32")
    check_template(model, tokenizer)
    _check_room(tokenizer, pairs, settings.max_length)
    trainer = _Trainer(
        model=policy,
        args=_arguments(settings, seed, output),
        train_dataset=Dataset.from_list([_conversation(pair) for pair in pairs]),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=PROJECTIONS,
            task_type="CAUSAL_LM",
        ),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(settings: TrainConfig, seed: int, output: Path) -> DPOConfig:
    return DPOConfig(
        output_dir=str(output),
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_pairs,
        max_length=settings.max_length,
        lr_scheduler_type=settings.scheduler,
        save_steps=settings.checkpoint_steps,
        seed=seed % 2**32,  # numpy takes no more
        precompute_ref_log_probs=True,
        disable_dropout=False,  # else TRL would switch off LoRA's dropout too
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )


def _conversation(pair: Pair) -> dict[str, list[dict[str, str]]]:
    return {
        "prompt": [{"role": "user", "content": pair["prompt"]}],
        "chosen": [{"role": "assistant", "content": pair["chosen"]}],
        "rejected": [{"role": "assistant", "content": pair["rejected"]}],
    }


def _check_room(tokenizer: Any, pairs: list[Pair], max_length: int) -> None:
    """TRL drops a pair whose prompt fills `max_length`, and fails oddly when none is left."""
    prompts = {pair["prompt"] for pair in pairs}
    turns = [[{"role": "user", "content": prompt}] for prompt in prompts]
    lengths = [
        len(tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False))
        for turn in turns
    ]
    if not lengths or min(lengths) >= max_length:
        raise MoraError(
            f"No pair is left to train on: of {len(pairs)}, none has a prompt of under "
            f"{max_length} tokens. Raise max_length or use shorter prompts."
        )


def _key(model: Path, pairs: list[Pair], settings: TrainConfig, seed: int) -> str:
    """Name of the checkpoints' folder: another training never resumes from them."""
    facts = [fingerprint(model), pairs, settings.model_dump(mode="json"), seed]
    return "checkpoints-" + sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _scratch(work: Path) -> Path:
    """A folder for what libraries put into temporary files; a kill would leave those for good."""
    scratch = work / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tempfile.tempdir = str(scratch)
    return scratch


def _first_loss(trainer: DPOTrainer, batch_pairs: int) -> float:
    """The loss on the first pairs before any step, with dropout off."""
    rows = [trainer.train_dataset[i] for i in range(min(batch_pairs, len(trainer.train_dataset)))]
    batch = trainer._prepare_inputs(trainer.data_collator(rows))
    trainer.model.eval()
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model, batch))


def _hash_reference(model: torch.nn.Module) -> str:
    """SHA-256 over names and values of the parameters that are not the adapter's."""
    digest = sha256()
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" not in name:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _gate(name: str, value: Any, expected: Any, tolerance: float) -> dict[str, Any]:
    passed = value == expected if tolerance == 0 else abs(value - expected) <= tolerance
    return {
        "name": name,
        "passed": passed,
        "value": value,
        "expected": expected,
        "tolerance": tolerance,
    }


def _publish(trainer: DPOTrainer, work: Path) -> None:
    """The adapter, then the whole merged model, from which the next round samples and trains."""
    publish(work / "adapter", trainer.model.save_pretrained)
    merged = trainer.model.merge_and_unload()

    def write(aside: Path) -> None:
        merged.save_pretrained(aside)
        trainer.processing_class.save_pretrained(aside)

    publish(work / "merged", write)
