"""Judges and rewriters: who scores and who rewrites, with settings that people edit.

Settings are a JSON object that the engine's class in `alignment.method` validates; whatever they
leave out is written in, so that a row shows all of it. A change makes a new version.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.conf import settings as console
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import UniqueConstraint
from pydantic import ValidationError as Invalid

from alignment.method.config import Frozen
from alignment.method.guards import GuardSettings
from alignment.method.judging import (
    Mc2Settings,
    PatternSettings,
    RewardSettings,
    RubricSettings,
    rubric_template,
)
from alignment.method.preferences import pair_template
from alignment.method.rewriting import RewriterSettings
from alignment.method.rules import code_of, known_rules
from alignment.models.projects import Dimension, Project

JUDGE_SETTINGS: dict[str, type[Frozen]] = {
    "rubric": RubricSettings,
    "reward": RewardSettings,
    "guard": GuardSettings,
    "pattern": PatternSettings,
    "mc2": Mc2Settings,
}


HARMLESS = "harmless"


class Judge(models.Model):
    """What produces scores on one dimension: an engine of the workers and its settings."""

    class Engine(models.TextChoices):
        RULES = "rules", "rule of the operator's list"
        PATTERN = "pattern", "regular expression"
        RUBRIC = "rubric", "language model with a rubric"
        REWARD = "reward", "reward model"
        GUARD = "guard", "guard model"
        MC2 = "mc2", "TruthfulQA MC2, evaluation only"
        IMPORTED = "imported", "imported scores"

    class Use(models.TextChoices):
        PAIRING = "pairing", "mining and pairing"
        EVALUATION = "evaluation"

    project = models.ForeignKey(Project, models.CASCADE, related_name="judges")
    dimension = models.ForeignKey(Dimension, models.CASCADE, related_name="judges")
    name = models.CharField(max_length=100)
    engine = models.CharField(max_length=20, choices=Engine)
    rule = models.CharField(max_length=100, blank=True, help_text="engine rules: its name")
    prompt_rule = models.CharField(
        max_length=100, blank=True, help_text="rule that scores the harm of a prompt's own text"
    )
    settings = models.JSONField(default=dict, blank=True, help_text="of the other engines")
    use = models.CharField(max_length=20, choices=Use, default=Use.PAIRING)
    version = models.PositiveIntegerField(default=1)
    code = models.CharField(
        max_length=64, blank=True, help_text="what tells the code of an operator's rule"
    )

    class Meta:
        ordering = ("project_id", "dimension__position", "name")
        constraints = (UniqueConstraint(fields=("project", "name"), name="one_judge_a_name"),)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Validate the rules and settings, and write what the settings leave out in."""
        self._check_rules()
        kind = JUDGE_SETTINGS.get(self.engine)
        if kind is None:
            if self.settings:
                raise ValidationError({"settings": f"the engine {self.engine!r} takes none"})
            return
        parsed = _parsed(kind, self.settings)
        if isinstance(parsed, RubricSettings):
            name = self.dimension.name
            shipped = {"template": rubric_template(name), "pair_template": pair_template(name)}
            left_out = {key: text for key, text in shipped.items() if not getattr(parsed, key)}
            parsed = parsed.model_copy(update=left_out)
        if isinstance(parsed, GuardSettings | Mc2Settings):
            self._check_unit_scale()
        if isinstance(parsed, PatternSettings):
            self._check_pattern_scores(parsed)
        _check_endpoint(parsed)
        self.settings = parsed.model_dump(mode="json")

    def _check_rules(self) -> None:
        known = known_rules(console.RULES)
        names = ", ".join(sorted(known))
        if self.engine == self.Engine.RULES and not self.rule:
            raise ValidationError(f"name the rule that judges: one of {names}")
        asked = [self.prompt_rule, self.rule if self.engine == self.Engine.RULES else ""]
        for rule in filter(None, asked):
            if rule not in known:
                raise ValidationError(
                    f"there is no rule {rule!r}; name one of {names}, or have the operator add it"
                    " to MORA_RULES"
                )

    def _check_pattern_scores(self, parsed: PatternSettings) -> None:
        record = self.dimension.record
        low, high = record.scale_low, record.scale_high
        if not all(low <= score <= high for score in (parsed.found, parsed.absent)):
            raise ValidationError(
                f"found and absent must lie on the scale of {record.name}, {low:g} to {high:g}"
            )
        if parsed.found == parsed.absent:
            raise ValidationError("found and absent are equal, so the pattern would tell nothing")

    def _check_unit_scale(self) -> None:
        record = self.dimension.record
        if (record.scale_low, record.scale_high, record.higher_is_better) != (0, 1, True):
            raise ValidationError(
                f"a {self.engine} judge gives a share from 0 to 1, higher the better: the scale of"
                f" {record.name} must be that"
            )

    @property
    def code_now(self) -> str:
        """What tells the code of its rules as the operator's files now are."""
        return code_of(filter(None, (self.rule, self.prompt_rule)), console.RULES)

    @property
    def typed(self) -> Any:
        """The settings as their class; None for an engine without any."""
        kind = JUDGE_SETTINGS.get(self.engine)
        return None if kind is None else kind.model_validate(self.settings)

    @property
    def model_folder(self) -> str:
        """The folder of the local model it needs; empty where it needs none."""
        return local_folder(self.settings)

    @property
    def is_unscaled(self) -> bool:
        """Whether it is a reward model whose values are on no scale yet, and so no scores."""
        return self.engine == self.Engine.REWARD and not self.typed.has_scale

    @property
    def scores_prompts(self) -> bool:
        """Whether it can tell the harm of a prompt's own text."""
        harm_guard = self.engine == self.Engine.GUARD and self.settings.get("reads") == "harm"
        return bool(self.prompt_rule or self.settings.get("prompt_template") or harm_guard)

    @property
    def private_texts(self) -> list[str]:
        """What its model is told, which no rewrite may show."""
        names = ("system", "template", "prompt_template", "pair_template")
        return [text for name in names if (text := self.settings.get(name))]


def harm_judge(judges: Iterable[Judge]) -> Judge | None:
    """Who tells the harm of a prompt's own text: the harmless judge, if it can, for what another
    dimension's says of a prompt is no harm; where none is of that dimension, the first that can."""
    given = list(judges)
    harmless = [judge for judge in given if judge.dimension.name == HARMLESS]
    return next((judge for judge in harmless or given if judge.scores_prompts), None)


class Rewriter(models.Model):
    """A language model that writes rewrites, with its templates."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="rewriters")
    name = models.CharField(max_length=100)
    settings = models.JSONField(help_text="the model and the templates")
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("project_id", "name")
        constraints = (UniqueConstraint(fields=("project", "name"), name="one_rewriter_a_name"),)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Validate the settings and write what they leave out in."""
        if self.name == "sandbox":
            raise ValidationError({"name": "the sandbox's own rewriter has this name"})
        parsed = _parsed(RewriterSettings, self.settings)
        _check_endpoint(parsed)
        self.settings = parsed.model_dump(mode="json")

    @property
    def typed(self) -> RewriterSettings:
        return RewriterSettings.model_validate(self.settings)

    @property
    def model_folder(self) -> str:
        """The folder of the local model it needs; empty where it asks an endpoint."""
        return local_folder(self.settings)


class JudgeTrial(models.Model):
    """A judge tried on texts of a person's choice, outside any run; a judge's repeat noise, and the
    reference set of a reward model's scale, are read from it."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    judge = models.ForeignKey(Judge, models.CASCADE, related_name="trials")
    judge_version = models.PositiveIntegerField()
    items = models.JSONField(help_text="[[prompt, completion], ...]")
    sampling = models.ForeignKey(
        "alignment.Sampling",
        models.SET_NULL,
        null=True,
        help_text="whose prompts and completions the items are",
    )
    repeats = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    results = models.JSONField(default=list, help_text="per repeat, per item: raw, reply, reason")
    error = models.TextField(blank=True)
    asked_by = models.ForeignKey(console.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"trial {self.pk} of {self.judge}"


def local_folder(settings: dict[str, Any]) -> str:
    """The model's folder in settings of either shape; empty for an endpoint's model or none."""
    model = settings.get("model", "")
    if isinstance(model, dict):
        return "" if model.get("engine") == "endpoint" else str(model.get("model", ""))
    return str(model)


def _parsed(kind: type[Frozen], settings: Any) -> Frozen:
    if "\\u0000" in json.dumps(settings):
        raise ValidationError({"settings": "the settings hold a NUL character"})
    try:
        json.dumps(settings, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        why = "the settings hold half of a surrogate pair, which is no character"
        raise ValidationError({"settings": why}) from error
    try:
        return kind.model_validate(settings)
    except Invalid as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors()]
        raise ValidationError({"settings": told}) from error


def _check_endpoint(parsed: Frozen) -> None:
    endpoint = getattr(getattr(parsed, "model", None), "endpoint", "")
    if endpoint and endpoint not in console.ENDPOINTS:
        known = ", ".join(sorted(console.ENDPOINTS)) or "none is listed"
        raise ValidationError(
            {"settings": f"there is no endpoint {endpoint!r} in MORA_ENDPOINTS ({known})"}
        )
