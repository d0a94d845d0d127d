"""The `trl` trainer: DPO and TRL's other losses from one policy, which is also the reference.

LoRA or all weights, in float32. It resumes from the last whole checkpoint in its work folder and
then gives the same weights, byte for byte on a CPU, as an undisturbed run. Merging is done here,
for policies are sampled merged. Several processes are `workers.engines.ranks`'s, which calls this.
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
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from alignment.method.config import TrainConfig
from alignment.method.errors import MoraError
from alignment.model_folders import check_model
from workers.engines import checkpoints, ranks
from workers.engines.collapse import gauge
from workers.engines.encoding import check_template, check_vocabulary, load_tokenizer
from workers.engines.engine import Engine, Progress, Spec
from workers.engines.folders import fingerprint, publish
from workers.engines.gates import first_loss, gate, hash_reference, loss_gates
from workers.engines.loading import embeddings_of
from workers.engines.pairs import Pair, distinct, fitting, saved
from workers.engines.sampler import load_causal, make_deterministic

log = logging.getLogger("mora.trainer")

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

    def call(args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        if spec.get("launch"):
            return ranks.launch(spec, args, progress)
        return train(model, **args, progress=progress)

    return Engine(version=f"trl {trl.__version__}", calls={"train": call})


def train(
    model: Path,
    pairs: list[Pair],
    config: dict[str, Any],
    seed: int,
    directory: str,
    probes: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """Train on the pairs and publish `merged`, and with LoRA `adapter`, in the directory.

    Gives folders (no adapter: None), hashes, steps, pairs dropped by truncation, the step-1 loss,
    the gates, and the collapse gauge of the policy before and after on the probes. Of several
    processes the main one gives it, the others give nothing. Raises MoraError when no pair fits or
    the loss is not finite.
    """
    work, here = Path(directory), PartialState()
    settings = TrainConfig(**config)
    scratch = _scratch(work, here)
    tokenizer = load_tokenizer(model)
    check_template(tokenizer)
    kept = fitting(tokenizer, pairs, settings)
    output = work / _key(model, kept, settings, seed)
    arguments = _arguments(settings, seed, output)
    trainer = _trainer(model, tokenizer, settings, arguments, saved(kept, scratch / "pairs"))
    before = hash_reference(trainer.model, model)
    loss = first_loss(trainer, settings.batch_pairs)
    _run(trainer, progress)
    after = hash_reference(trainer.model, model)
    here.wait_for_everyone()
    if not here.is_main_process:
        return {}
    made = _publish(trainer, work)
    shutil.rmtree(scratch)
    reference = {"reference": fingerprint(model)}
    made["sha256"] |= {**reference, "reference_before": before, "reference_after": after}
    return {
        **made,
        "steps": trainer.state.global_step,
        "processes": here.num_processes,
        "dropped_by_truncation": distinct(pairs) - distinct(kept),
        "loss_step1": loss,
        "gates": [*loss_gates(settings, loss), gate("reference is unchanged", after, before, 0)],
        "collapse_before": gauge(model, probes, seed),
        "collapse": gauge(work / "merged", probes, seed),
    }


def _run(trainer: DPOTrainer, progress: Progress) -> None:
    """All steps, or those after the newest whole checkpoint."""
    trainer.add_callback(_Reporter(progress))
    with PartialState().main_process_first():  # it removes what is broken
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

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Send the checkpoint's steps again: it may have been sealed with its step not kept."""
        if state.log_history and state.is_world_process_zero:
            self._send(state, state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs or not state.is_world_process_zero:
            return  # the summary after the last step
        if not all(math.isfinite(value) for value in _metrics(logs).values()):
            raise MoraError(
                f"Training left the finite numbers at step {state.global_step}; lower the "
                "learning rate."
            )
        log.info("step %s of %s: loss %.4f", state.global_step, state.max_steps, logs["loss"])
        self._send(state, [{"step": state.global_step, **logs}])

    def _send(self, state: Any, steps: list[dict[str, Any]]) -> None:
        metrics = [[told["step"], _metrics(told)] for told in steps if "loss" in told]
        self.progress({"step": state.global_step, "steps": state.max_steps, "metrics": metrics})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        here = PartialState()
        here.wait_for_everyone()  # every process writes a file of its own
        if here.is_main_process:
            checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        here.wait_for_everyone()


def _metrics(logs: dict[str, Any]) -> dict[str, float]:
    return {name: logs[key] for key, name in METRICS.items() if key in logs}


def _trainer(
    model: Path, tokenizer: Any, settings: TrainConfig, arguments: DPOConfig, data: Dataset
) -> DPOTrainer:
    try:
        loaded = load_causal(model, "float32")
        check_vocabulary(tokenizer, embeddings_of(loaded))
        trainer = _Trainer(
            model=loaded,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=_lora(settings) if settings.method == "lora" else None,
        )
    except ValueError as error:
        if "target modules" not in str(error).lower().replace("_", " "):
            raise
        raise MoraError(
            f"LoRA cannot train {', '.join(settings.targets)} of {model} ({error}); set "
            "lora_targets to modules of its architecture."
        ) from error
    trainer.remove_callback(PrinterCallback)
    return trainer


def _lora(settings: TrainConfig) -> LoraConfig:
    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=settings.targets,
        task_type="CAUSAL_LM",
    )


def _arguments(settings: TrainConfig, seed: int, output: Path) -> DPOConfig:
    processes = PartialState().num_processes
    if settings.batch_pairs % processes:
        raise MoraError(
            f"batch_pairs {settings.batch_pairs} cannot be shared by {processes} processes; choose "
            "a multiple of them."
        )
    return DPOConfig(
        output_dir=str(output),
        loss_type=list(settings.losses),
        loss_weights=list(settings.losses.values()),
        label_smoothing=settings.label_smoothing,
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_pairs // processes,
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


def _key(model: Path, pairs: list[Pair], settings: TrainConfig, seed: int) -> str:
    """Name of the checkpoints' folder: another training never resumes from them."""
    facts = [fingerprint(model), pairs, settings.model_dump(mode="json"), seed]
    return "checkpoints-" + sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _scratch(work: Path, here: PartialState) -> Path:
    """A folder for what libraries put into temporary files; a kill would leave those for good."""
    scratch = work / "scratch"
    if here.is_main_process:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    here.wait_for_everyone()
    tempfile.tempdir = str(scratch)
    return scratch


def _publish(trainer: DPOTrainer, work: Path) -> dict[str, Any]:
    """The adapter, where there is one, then the whole model, from which the next round goes on:
    the folder of each, and the hashes of their weight files; None for no adapter."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    merged, adapter = work / "merged", None
    if isinstance(model, PeftModel):
        adapter = work / "adapter"
        publish(adapter, model.save_pretrained)
        model = model.merge_and_unload()

    def write(aside: Path) -> None:
        model.save_pretrained(aside)
        trainer.processing_class.save_pretrained(aside)

    publish(merged, write)
    hashes = {"merged": fingerprint(merged), "adapter": adapter and fingerprint(adapter)}
    return {"merged": str(merged), "adapter": adapter and str(adapter), "sha256": hashes}
