"""What a child is started with: the engine, and the model or the endpoint that it speaks for.

Model folders must lie below MODEL_ROOTS and endpoints be on the operator's list; both are checked
here, when work starts. A spec names the variable of a key, never the key.
"""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from alignment.method.chat import ModelChoice
from alignment.method.errors import MoraError
from alignment.method.judging import RewardSettings
from alignment.model_folders import allowed, check_model
from alignment.models import Policy
from workers.engines.folders import fingerprint

Spec = dict[str, Any]


def python_of(spec: Spec) -> str:
    """The interpreter that the engine's packages are installed for."""
    return str(settings.VLLM_PYTHON) if spec["engine"].startswith("vllm") else sys.executable


def for_sampling(policy: Policy, params: dict[str, Any], *, at_endpoint: bool = True) -> Spec:
    """The sampler of a policy: at its endpoint, where it has one, or with the engine asked for."""
    if policy.endpoint and at_endpoint:
        return _endpoint(policy.endpoint, policy.served_as)
    spec = _folder(params["engine"], _weights(policy), params["dtype"])
    if spec["engine"] != "vllm":
        return spec
    names = ("tensor_parallel", "max_length", "prefix_caching", "load_format")
    spec |= {name: params[name] for name in names}
    if params["adapter"] == "lora" and policy.adapter and policy.parent:
        spec["model"] = str(_weights(policy.parent))
        spec["adapter"] = str(_allowed(settings.ARTIFACTS / policy.adapter))
    return spec


def for_training(policy: Policy, launch: str | None = None) -> Spec:
    """The trainer of a policy; `launch` names an accelerate config of the operator's list."""
    spec = _folder("trl", _weights(policy), "float32")
    if launch is None:
        return spec
    if launch not in settings.ACCELERATE:
        raise MoraError(
            f"there is no accelerate config {launch!r} in this worker's MORA_ACCELERATE; the "
            "operator adds it"
        )
    return {**spec, "launch": str(settings.ACCELERATE[launch])}


def for_chat(choice: ModelChoice) -> Spec:
    """The engine that a judge's or a rewriter's model answers with."""
    if choice.engine == "endpoint":
        return _endpoint(choice.endpoint, choice.model)
    spec = _folder(choice.engine, Path(choice.model), choice.dtype)
    return spec if choice.engine != "vllm" else {**spec, "max_length": choice.max_length}


def for_reward(asked: RewardSettings) -> Spec:
    """The engine of a reward model."""
    if asked.remote_code and not settings.REMOTE_CODE:
        raise MoraError(
            "the judge asks to run its model's own code, which the operator has not allowed: set "
            "MORA_REMOTE_CODE=1 where the workers start, or turn remote_code off"
        )
    engine = "vllm-reward" if asked.engine == "vllm" else "reward"
    names = ("output", "remote_code", "max_length")
    own = asked.model_dump(include=set(names))
    return {**_folder(engine, Path(asked.model), asked.dtype), **own}


def _weights(policy: Policy) -> Path:
    """The policy's folder, holding the weights that are recorded; a start policy's are recorded
    when they are first used. Raises MoraError."""
    if not policy.folder:
        raise MoraError(f"policy {policy} has no model's folder; name one, or an endpoint")
    path = _allowed(policy.path)
    found = _sha256(path, tuple(_stamp(file) for file in sorted(path.glob("*.safetensors"))))
    if not policy.sha256:
        Policy.objects.filter(pk=policy.pk, sha256="").update(sha256=found)
        policy.refresh_from_db(fields=("sha256",))
    if found != policy.sha256:
        remedy = "rerun from its training" if policy.stage_id else "add these as another policy"
        raise MoraError(
            f"the weights in {policy.folder} are not those of policy {policy} any more: put its own"
            f" back, or {remedy}"
        )
    return path


@lru_cache(maxsize=64)
def _sha256(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    return fingerprint(folder)


def _stamp(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return file.name, found.st_size, found.st_mtime_ns


def _folder(engine: str, folder: Path, dtype: str) -> Spec:
    path = _allowed(folder)
    check_model(path)
    facts: Spec = {"threads": settings.ENGINE_THREADS}
    if engine.startswith("vllm"):
        facts["memory"] = settings.VLLM_MEMORY
    return {"engine": engine, "model": str(path), "dtype": dtype, **facts}


def _allowed(folder: Path) -> Path:
    return allowed(folder, settings.MODEL_ROOTS)


def _endpoint(name: str, model: str) -> Spec:
    known = settings.ENDPOINTS.get(name)
    if known is None:
        raise MoraError(
            f"there is no endpoint {name!r} in this worker's MORA_ENDPOINTS; the operator adds it, "
            "on every host alike"
        )
    return {
        "engine": "endpoint",
        "endpoint": name,
        "model": model,
        "url": known.url,
        "key_variable": known.key_variable,
        "concurrency": settings.ENDPOINT_CONCURRENCY,
        "seconds": settings.ENDPOINT_SECONDS,
    }
