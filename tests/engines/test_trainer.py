"""DPO training: its gates, and a kill in the middle that leaves no trace in the adapter."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignment.method.config import TrainConfig
from tests.engines.conftest import RawChild
from workers.engines.collapse import gauge
from workers.engines.encoding import load_tokenizer
from workers.engines.folders import fingerprint
from workers.engines.pairs import distinct, fitting
from workers.engines.sampler import Sampler

Start = Callable[..., RawChild]
PAIRS = [
    {
        "prompt": f"How do I mend sail number {i}?",
        "chosen": f"Sew it flat, {i} times.",
        "rejected": f"Sorry, I cannot help with sail {i}.",
    }
    for i in range(22)
]
CONFIG = TrainConfig(
    learning_rate=1e-2, epochs=2, batch_pairs=4, max_length=128, lora_dropout=0.1
).model_dump() | {"checkpoint_steps": 3}
STEPS = 12
SEED = 2**50 + 1
GREEDY = {"temperature": 0, "top_p": 1.0, "max_new_tokens": 8}
PROBES = ["How do I iron a shirt?", "How do I steal apples from an orchard?"]


def arguments(directory: Path, **changes: Any) -> dict[str, Any]:
    given = {"pairs": PAIRS, "config": CONFIG, "seed": SEED, "probes": PROBES}
    return given | {"directory": str(directory)} | changes


@pytest.fixture
def trainer(start_child: Start, tiny_policy: Path) -> Callable[[], RawChild]:
    def start() -> RawChild:
        child = start_child(engine="trl", model=str(tiny_policy))
        assert child.frame()["ready"]["version"].startswith("trl 1.16")
        return child

    return start


@pytest.mark.xdist_group("trainer")
def test_a_kill_in_mid_training_and_a_torn_checkpoint_leave_the_same_adapter(
    trainer: Callable[[], RawChild], tiny_policy: Path, tmp_path: Path
) -> None:
    undisturbed = trainer().call("train", **arguments(tmp_path / "a"))["result"]

    child = trainer()
    child.send({"id": 1, "call": "train", "args": arguments(tmp_path / "b")})
    while child.frame()["progress"]["step"] < 8:
        pass
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    newest = max((tmp_path / "b").glob("checkpoints-*/checkpoint-*"), key=_step)
    (newest / "optimizer.pt").write_bytes(b"torn")

    child = trainer()
    child.send({"id": 1, "call": "train", "args": arguments(tmp_path / "b")})
    told = []
    while "progress" in (frame := child.frame()):
        told.append([step for step, _ in frame["progress"]["metrics"]])
    resumed = frame["result"]
    whole = _step(newest) - 3
    # The checkpoint's own steps, which whoever was told may not have kept, then each as it comes.
    assert told == [[*range(1, whole + 1)], *([n] for n in range(whole + 1, STEPS + 1))]
    assert resumed["sha256"] == undisturbed["sha256"]
    assert _bytes(tmp_path / "a" / "adapter") == _bytes(tmp_path / "b" / "adapter")
    for name in ("loss_step1", "collapse_before", "collapse"):
        assert resumed[name] == undisturbed[name]
    _check_result(undisturbed, tiny_policy)

    child.send({"id": 2, "call": "train", "args": arguments(tmp_path / "b")})
    assert len(child.frame()["progress"]["metrics"]) == STEPS
    assert child.frame()["result"]["sha256"] == undisturbed["sha256"]  # without a step
    other = child.call("train", **arguments(tmp_path / "c", seed=3))["result"]
    assert other["sha256"] != undisturbed["sha256"]
    again = child.call("train", **arguments(tmp_path / "d"))["result"]
    assert again["sha256"] == undisturbed["sha256"], "what it trained before has no part in it"


def _check_result(result: dict[str, Any], policy: Path) -> None:
    """What a training reports; checked here because a training takes seconds."""
    assert result["steps"] == STEPS
    assert [gate["passed"] for gate in result["gates"]] == [True, True]
    assert result["loss_step1"] == pytest.approx(0.693147, abs=1e-4)
    hashes = result["sha256"]
    assert hashes["reference"] == fingerprint(policy)
    assert hashes["reference_before"] == hashes["reference_after"]
    assert hashes["merged"] == fingerprint(Path(result["merged"])) != hashes["reference"]
    assert result["dropped_by_truncation"] == 0
    assert result["collapse_before"] == gauge(policy, PROBES, SEED)
    assert result["collapse"] == gauge(Path(result["merged"]), PROBES, SEED)
    assert result["collapse"] != result["collapse_before"]
    merged = Sampler(Path(result["merged"]), "float32")
    (rollout,) = merged.sample(PROBES[:1], [[1]], GREEDY)[0]
    assert rollout["text"]


@pytest.mark.xdist_group("trainer")
def test_what_cannot_be_trained_is_an_expected_failure(
    trainer: Callable[[], RawChild], tmp_path: Path
) -> None:
    child = trainer()
    no_room = child.call("train", **arguments(tmp_path, config=CONFIG | {"max_length": 8}))
    assert no_room["error"]["kind"] == "MoraError"
    assert "of 22, none" in no_room["error"]["message"]

    longer = " ".join(["sew"] * 200)
    long = [{**PAIRS[0], member: longer} for member in ("prompt", "chosen", "rejected")]
    short = child.call("train", **arguments(tmp_path, pairs=[*long, *PAIRS[:8]], probes=[]))
    short = short["result"]
    assert (short["dropped_by_truncation"], short["steps"]) == (3, 2 * 2)
    assert short["collapse"]["entropy"] is short["collapse_before"]["entropy"] is None

    wild = CONFIG | {"learning_rate": 1.0, "beta": 1e38}
    torn = child.call("train", **arguments(tmp_path, config=wild))
    assert torn["error"]["kind"] == "MoraError"
    assert "lower the learning rate" in torn["error"]["message"]


@pytest.mark.xdist_group("trainer")
def test_another_architecture_is_trained_by_its_own_modules_names(
    start_child: Start, tiny_policy: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 256}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, **ends))
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    child = start_child(engine="trl", model=str(tmp_path / "gpt2"))
    assert "ready" in child.frame()
    refused = child.call("train", **arguments(tmp_path / "out", probes=[]))["error"]
    assert refused["kind"] == "MoraError"
    assert "set lora_targets to modules of its architecture" in refused["message"]
    config = CONFIG | {"lora_targets": "c_attn", "epochs": 1}
    result = child.call("train", **arguments(tmp_path / "out", probes=[], config=config))["result"]
    assert [gate["passed"] for gate in result["gates"]] == [True, True]


def test_pairs_that_do_not_fit_are_not_trained_cut_and_steps_are_filled_without_them(
    tiny_policy: Path,
) -> None:
    tokenizer = load_tokenizer(tiny_policy)
    long = {**PAIRS[0], "rejected": " ".join(["sew"] * 200)}
    by_epochs = TrainConfig(max_length=128)
    assert fitting(tokenizer, [long, *PAIRS[:3]], by_epochs) == PAIRS[:3]
    whole = TrainConfig(max_length=4096)
    assert fitting(tokenizer, [long, *PAIRS[:3]], whole) == [long, *PAIRS[:3]]
    by_steps = TrainConfig(max_length=128, steps=2, batch_pairs=4)
    given = [long, *PAIRS[:3]] * 2
    kept = fitting(tokenizer, given, by_steps)
    assert len(kept) == 8 and distinct(kept) == 3
    assert distinct(given) - distinct(kept) == 1
    turns = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]
    exact = len(tokenizer.apply_chat_template(turns, return_dict=False))
    pair = {"prompt": "How?", "chosen": "So.", "rejected": "So."}
    assert fitting(tokenizer, [pair], TrainConfig(max_length=max(8, exact))) == [pair]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def _bytes(adapter: Path) -> bytes:
    return (adapter / "adapter_model.safetensors").read_bytes()


@pytest.mark.xdist_group("trainer")
def test_a_full_disk_is_told_and_leaves_no_half_written_adapter(
    trainer: Callable[[], RawChild], tmp_path: Path
) -> None:
    child = trainer()
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    child.send({"id": 1, "call": "train", "args": arguments(tmp_path / "a")})
    while "progress" in (frame := child.frame()):
        pass
    assert frame["error"]["kind"] == "MoraError"
    assert frame["error"]["message"] == (
        "Files could not be written (File too large); free some space, then retry."
    )
    assert not (tmp_path / "a" / "adapter").exists()
    assert not (tmp_path / "a" / "merged").exists()
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
    assert trainer().call("train", **arguments(tmp_path / "a"))["result"]["steps"] == STEPS
