"""The frozen configuration of a run: form, API and command line build this one class.

It is stored whole on the run and holds no secret (endpoint keys are named by environment
variable). Defaults marked OrthAlign come from arXiv 2509.24610; none is called MORA's own, for
arXiv 2605.11679 publishes none. What names mean in the database is checked by
`services.create_run`, not here.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alignment.method.losses import parse_losses

PARAPHRASED_AT_MOST = 2.0  # times the original's words, whatever the bound of other rewrites

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Dtype = Literal["float32", "bfloat16", "float16"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SamplingConfig(Frozen):
    """How rollouts are drawn. A chunk of prompts is one padded batch, fixed at planning.

    A policy at an endpoint is sampled there; `engine` and what follows `max_new_tokens` are for
    policies in folders.
    """

    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="for policies in folders; others answer at their endpoint"
    )
    n: int = Field(16, ge=1, le=1024, description="rollouts per prompt")
    temperature: float = Field(0.6, ge=0, le=5, description="0 is greedy (OrthAlign: 0.6)")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus (OrthAlign: 0.9)")
    max_new_tokens: int = Field(256, ge=1, le=32768)
    chunk_prompts: int = Field(8, ge=1, le=4096, description="prompts per chunk")
    dtype: Dtype = Field("float32", description="of the model's numbers")
    adapter: Literal["merged", "lora"] = Field(
        "merged", description="vllm: how a trained policy is loaded; lora costs a third"
    )
    tensor_parallel: int = Field(1, ge=1, le=64, description="vllm: GPUs that share the model")
    max_length: int | None = Field(None, ge=8, description="vllm: context; none is the model's")
    prefix_caching: bool = Field(True, description="vllm: prompts keep their computed start")
    load_format: Literal["auto", "safetensors", "runai_streamer", "dummy"] = Field(
        "auto", description="vllm: how weights are read; dummy is random, for measuring"
    )

    @model_validator(mode="after")
    def _adapters_need_vllm(self) -> "SamplingConfig":
        if self.adapter == "lora" and self.engine != "vllm":
            raise ValueError("adapter 'lora' needs the engine vllm; transformers samples merged")
        return self


class RoundConfig(Frozen):
    """One alignment step: which prompts, and which dimension pairs must improve."""

    prompts: Name = Field(description="name of the prompt set that is sampled and mined")
    limit: int | None = Field(None, ge=1, description="use the first so many by seeded order")
    focus: Name | None = Field(None, description="dimension to improve; none is simultaneous")
    weights: dict[str, float] | None = Field(None, description="per dimension; none is equal")


class MiningConfig(Frozen):
    rule: Literal["capped", "flat"] = "capped"
    attained_at: Share = Field(0.5, description="pass rate from which a dimension is attained")
    joint_at_most: Share = Field(0.1, description="joint pass rate up to which it is capped")
    min_valid: int | None = Field(None, ge=1, le=1024, description="none is half of N, at least 4")
    spread_above: Share = Field(0.05, description="flat rule: spread that counts as varying")
    noise: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {},
        description="flat rule: dimension -> its own threshold; while the spread above is left as"
        " it is, empty takes its judge's repeat noise, where a trial of it was repeated",
    )


class RewriteConfig(Frozen):
    """`fuse` is MORA; the others are the arms it is compared with (`none`: original prompts)."""

    strategy: Literal["fuse", "elaborate", "paraphrase", "none"] = "fuse"
    rewriter: Name = Field("sandbox", description="the sandbox's, or a rewriter of the project")
    candidates: int = Field(4, ge=1, le=64, description="most candidates asked per mined prompt")
    keep_at_least: Share = Field(0.5, description="share of the original's key terms kept")
    length_at_least: float = Field(0.5, gt=0, description="times the original's length")
    length_at_most: float = Field(8.0, gt=0, description="times the original's length")

    @model_validator(mode="after")
    def _lengths_leave_room(self) -> "RewriteConfig":
        if self.length_at_least > self.length_at_most:
            raise ValueError("length_at_least is above length_at_most, so no rewrite could pass")
        if self.strategy == "paraphrase" and self.length_at_least > PARAPHRASED_AT_MOST:
            raise ValueError(
                f"length_at_least is above the {PARAPHRASED_AT_MOST:g} that a paraphrase may have"
            )
        return self


class ReviewConfig(Frozen):
    mode: Literal["skip", "audit", "required"] = "required"
    audit_share: Share = Field(0.2, description="audit: share of rewrites that people review")
    overlap: int = Field(1, ge=1, le=5, description="people who review each rewrite")
    ratings: bool = Field(True, description="offer ratings from 1 to 5 beside the decision")
    close_after_seconds: int = Field(
        60, ge=0, le=86_400, description="time to undo, once all is decided, before the run goes on"
    )


class PairConfig(Frozen):
    """How pairs are chosen; `rs_dpo` reads tau and eta and takes every pair that they allow, the
    other rules read margin_at_least and pairs_per_prompt."""

    rule: Literal["max_margin", "rs_dpo", "max_min"] = "max_margin"
    margin_at_least: float = Field(0.1, ge=0, le=1)
    pairs_per_prompt: int = Field(4, ge=1, le=512)
    tau: float = Field(0.1, gt=0, le=100, description="rs_dpo: sigmoid(gap / tau) is at least eta")
    eta: float = Field(0.85, gt=0.5, lt=1, description="rs_dpo: 0.85 at tau 0.1 is a gap of 0.173")
    consistent: bool = Field(True, description="no dimension of chosen below rejected")
    keep_aligned: bool = Field(True, description="no dimension aligned in an earlier round falls")
    chosen_passes: bool = Field(False, description="chosen passes every bar")
    length_gap_at_most: int | None = Field(
        None, ge=0, description="tokens; words where an endpoint counts none"
    )
    prompt: Literal["rewrite", "original", "both"] = Field(
        "rewrite", description="prompt trained on; under the original, completions are judged again"
    )


class TrainConfig(Frozen):
    """DPO with LoRA; defaults are OrthAlign's (arXiv 2509.24610)."""

    method: Literal["lora", "full"] = Field("lora", description="full trains every weight")
    loss: str = Field("sigmoid", max_length=200, description="weighted, as in sigmoid=1, sft=0.2")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="of exo_pair, robust, aot")
    beta: float = Field(0.1, gt=0)
    learning_rate: float = Field(1e-4, gt=0, le=1)
    epochs: int = Field(2, ge=1, le=100)
    steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="optimizer steps, for equal budgets; none is by epochs",
    )
    pairs_share: float = Field(
        1.0, gt=0, le=1, description="seeded share of the pairs; a smaller one lies within a larger"
    )
    batch_pairs: int = Field(8, ge=1, le=4096, description="pairs per optimizer step")
    max_length: int = Field(
        1024,
        ge=8,
        le=1_048_576,
        description="tokens of prompt and completion; a pair over it is dropped",
    )
    lora_r: int = Field(16, ge=1, le=4096)
    lora_alpha: int = Field(16, ge=1, le=65_536)
    lora_dropout: Share = 0.01
    lora_targets: str = Field(
        "q_proj, k_proj, v_proj, o_proj",
        max_length=500,
        description="modules trained, by how their names end; other architectures name others",
    )
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    checkpoint_steps: int = Field(10, ge=1)
    launch: Name | None = Field(
        None, description="an accelerate config of the operator's list, for several processes"
    )

    @model_validator(mode="after")
    def _losses_are_known(self) -> "TrainConfig":
        if "exo_pair" in self.losses and self.label_smoothing == 0:
            raise ValueError("the loss exo_pair needs a label_smoothing above 0")
        return self

    @model_validator(mode="after")
    def _targets_are_named(self) -> "TrainConfig":
        if not self.targets:
            raise ValueError("lora_targets names no module; name at least one, such as q_proj")
        return self

    @property
    def targets(self) -> list[str]:
        """The modules that LoRA trains."""
        return [name.strip() for name in self.lora_targets.split(",") if name.strip()]

    @property
    def losses(self) -> dict[str, float]:
        """TRL's loss types with their weights; raises ValueError for text that names none."""
        return parse_losses(self.loss)


class EvaluateConfig(Frozen):
    prompts: Name = Field(description="name of the held-out prompt set")
    sets: dict[str, Name] = Field(
        {}, description="dimension -> held-out set of its own; the others have `prompts`"
    )
    limit: int | None = Field(None, ge=1, description="of each set the first so many")
    n: int = Field(8, ge=1, le=1024, description="rollouts per prompt")
    judges: dict[str, str] = Field(description="dimension -> judge that took no part in pairing")
    compare: dict[str, str] = Field(
        {},
        description="dimension -> rubric judge that compares each prompt's first completion with"
        " the start policy's, in both orders",
    )

    @property
    def every_set(self) -> list[str]:
        """The names of all held-out prompt sets, sorted."""
        return sorted({self.prompts, *self.sets.values()})


class RunConfig(Frozen):
    policy: Name = Field(description="name of the start policy")
    seed: int = Field(1, ge=0, lt=2**63)
    dimensions: tuple[Name, ...] = Field(min_length=1)
    judges: dict[str, str] = Field(description="dimension -> judge for mining and pairing")
    rounds: tuple[RoundConfig, ...] = Field(min_length=1, max_length=32)
    sample: SamplingConfig = SamplingConfig()
    resample_n: int | None = Field(None, ge=1, le=1024, description="M; none is N")
    mine: MiningConfig = MiningConfig()
    rewrite: RewriteConfig = RewriteConfig()
    review: ReviewConfig = ReviewConfig()
    pair: PairConfig = PairConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig

    @model_validator(mode="after")
    def _names_agree(self) -> "RunConfig":
        names = set(self.dimensions)
        if len(names) != len(self.dimensions):
            raise ValueError(f"a dimension is named twice: {', '.join(self.dimensions)}")
        for what, judges in (("judges", self.judges), ("evaluate.judges", self.evaluate.judges)):
            if set(judges) != names:
                missing = ", ".join(sorted(names ^ set(judges)))
                raise ValueError(f"{what} must name one judge per dimension; check {missing}")
        if odd := set(self.evaluate.sets) - names:
            raise ValueError(f"evaluate.sets names no dimension of the run: {', '.join(odd)}")
        if odd := set(self.evaluate.compare) - names:
            raise ValueError(f"evaluate.compare names no dimension of the run: {', '.join(odd)}")
        if odd := set(self.mine.noise) - names:
            raise ValueError(f"mine.noise names no dimension of the run: {', '.join(odd)}")
        for number, a_round in enumerate(self.rounds, 1):
            _check_round(number, a_round, names)
        return self


def _check_round(number: int, a_round: RoundConfig, names: set[str]) -> None:
    if a_round.focus is not None and a_round.focus not in names:
        raise ValueError(f"round {number}: focus {a_round.focus!r} is not a dimension of the run")
    if a_round.weights is None:
        return
    if set(a_round.weights) != names:
        raise ValueError(f"round {number}: weights must name every dimension of the run")
    if min(a_round.weights.values()) < 0 or abs(sum(a_round.weights.values()) - 1) > 1e-6:
        raise ValueError(f"round {number}: weights must be at least 0 and sum to 1")
