"""The vllm engine on the sandbox's policy and on a trained adapter, beside transformers."""

import shutil
from pathlib import Path

import pytest

from alignment.method.config import SamplingConfig, TrainConfig
from alignment.method.seeds import seed_of
from alignment.models import Policy
from tests.vllm.conftest import Ask
from workers import specs
from workers.engines.folders import fingerprint
from workers.engines.sampler import Sampler
from workers.sandbox import world

GREEDY = {"temperature": 0, "top_p": 1.0, "max_new_tokens": 48}
SAMPLED = {"temperature": 1.0, "top_p": 0.95, "max_new_tokens": 48}
PROMPTS = [p.text for p in world.prompts(11, {"helpful": 3, "safety": 3, "mixed": 2})]
N = 16


def policy_in(folder: str | Path, **more: object) -> Policy:
    return Policy(folder=str(folder), sha256=fingerprint(Path(folder)), **more)


def params(**changes: object) -> dict[str, object]:
    return SamplingConfig.model_validate({"engine": "vllm", **changes}).model_dump()


def greedy_texts(ask: Ask, spec: specs.Spec) -> list[str]:
    args = {"prompts": PROMPTS, "seeds": [[1]] * len(PROMPTS), "params": GREEDY}
    return [row[0]["text"] for row in ask(spec, "sample", args)["rollouts"]]


def greedy_by_transformers(folder: Path) -> list[str]:
    rows = Sampler(folder, "float32").sample(PROMPTS, [[1]] * len(PROMPTS), GREEDY)
    return [row[0]["text"] for row in rows]


def test_the_sandbox_policy_in_vllm_gives_the_records_of_transformers(
    ask: Ask, policy_folder: Path
) -> None:
    spec = specs.for_sampling(policy_in(policy_folder), params())
    assert greedy_texts(ask, spec) == greedy_by_transformers(policy_folder)

    seeds = [[seed_of(i, j) for j in range(N)] for i in range(len(PROMPTS))]
    args = {"prompts": PROMPTS, "seeds": seeds, "params": SAMPLED}
    found = ask(spec, "sample", args)["rollouts"]
    assert [len(row) for row in found] == [N] * len(PROMPTS)
    assert ask(spec, "sample", args)["rollouts"] == found
    assert len({rollout["text"] for rollout in found[0]}) > 1
    for rollout in found[0]:
        assert set(rollout) == {"text", "tokens", "finish_reason"}
        assert rollout["finish_reason"] in ("stop", "length") and rollout["tokens"] >= 1

    # A rollout is its own seed's, whatever is sampled beside it.
    alone = {"prompts": PROMPTS[2:3], "seeds": [seeds[2][3:4]], "params": SAMPLED}
    assert ask(spec, "sample", alone)["rollouts"][0][0] == found[2][3]

    long = {"prompts": ["very " * 2000, PROMPTS[0]], "seeds": [[1], [1]], "params": GREEDY}
    left_out, kept = ask(spec, "sample", long)["rollouts"]
    assert "exceeds the context" in left_out[0]["error"]
    assert kept[0]["text"]

    turns = [[{"role": "user", "content": text}] for text in PROMPTS[:2]]
    asked = {"conversations": turns, "seeds": [1, 2], "params": {**GREEDY, "logprobs": 4}}
    ours = ask(spec, "chat", asked)["replies"]
    theirs = Sampler(policy_folder, "float32").chat(**asked)
    for one, other in zip(ours, theirs, strict=True):
        assert one["text"] == other["text"]
        best, expected = (r["top"][0][0] for r in (one, other))
        assert best["token"] == expected["token"]
        assert best["logprob"] == pytest.approx(expected["logprob"], abs=1e-4)


def test_a_trained_policy_is_the_same_merged_or_by_its_adapter(
    ask: Ask, policy_folder: Path, tmp_path: Path, settings: object
) -> None:
    train = TrainConfig(learning_rate=5e-3, epochs=8, batch_pairs=8, max_length=128, lora_r=8)
    pairs = [
        {"prompt": p, "chosen": "To iron a shirt: You need a warm iron.", "rejected": "No."}
        for p in PROMPTS
    ]
    args = {
        "pairs": pairs,
        "config": train.model_dump(),
        "seed": 1,
        "directory": str(tmp_path / "out"),
        "probes": [],
    }
    start = policy_in(policy_folder)
    made = ask(specs.for_training(start), "train", args)
    trained = policy_in(made["merged"], adapter=made["adapter"], parent=start)
    expected = greedy_by_transformers(Path(made["merged"]))
    assert expected != greedy_by_transformers(policy_folder)
    assert greedy_texts(ask, specs.for_sampling(trained, params())) == expected
    by_adapter = specs.for_sampling(trained, params(adapter="lora"))
    assert by_adapter["model"] == str(policy_folder) and by_adapter["adapter"] == made["adapter"]
    assert greedy_texts(ask, by_adapter) == expected
    shutil.rmtree(tmp_path / "out")
