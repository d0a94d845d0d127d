"""The run form: a `RunConfig` with choices from the project.

A field is named by its path in the configuration, so that an error of the configuration finds its
field. Rounds are as many as the values name. Checking is `services.runs`'s; nothing is written.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.http import QueryDict

from alignment.method.config import RunConfig
from alignment.models import Judge, Project
from alignment.run_values import MOST_ROUNDS, Values, filled_sets, rounds_named
from alignment.schema_fields import LABELS, SCHEMA, SECTIONS, choice, field, section_fields
from alignment.services import runs

UP_FRONT = ("sample.n", "review.mode", "review.audit_share", "review.overlap")


class RunForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="unique in the project")

    def __init__(
        self, project: Project, data: QueryDict | None = None, values: Values | None = None
    ) -> None:
        super().__init__(data, initial=values)
        self.project = project
        self.config: RunConfig | None = None
        named = rounds_named(data if data is not None else (values or {}))
        self.round_count = min(max(named, 1), MOST_ROUNDS)
        self.dimension_names = list(project.dimensions.values_list("name", flat=True))
        self.fields |= self._head_fields()
        for i in range(self.round_count):
            self.fields |= self._round_fields(i)
        for section in SECTIONS:
            self.fields |= section_fields(section)
        self.fields |= self._noise_fields()
        self.fields |= self._evaluate_fields()
        rewriters = ["sandbox", *project.rewriters.values_list("name", flat=True)]
        told = str(self.fields["rewrite.rewriter"].help_text)
        self.fields["rewrite.rewriter"] = choice(
            ((n, n) for n in rewriters), label="Rewriter", told=told
        )

    def _head_fields(self) -> dict[str, forms.Field]:
        judges = {
            f"judges.{name}": choice(self._judges(name, Judge.Use.PAIRING), required=False)
            for name in self.dimension_names
        }
        root = SCHEMA["properties"]
        return {
            "policy": choice((name, name) for name in self._models()),
            "seed": field("seed", root["seed"]),
            "dimensions": forms.MultipleChoiceField(
                choices=[(name, name) for name in self.dimension_names],
                widget=forms.CheckboxSelectMultiple,
            ),
            **judges,
            "resample_n": field("resample_n", root["resample_n"]),
        }

    def _round_fields(self, i: int) -> dict[str, forms.Field]:
        weights = {
            f"rounds.{i}.weights.{name}": forms.FloatField(
                label=name, required=False, min_value=0, max_value=1
            )
            for name in self.dimension_names
        }
        focus = [("", "all at once"), *((name, name) for name in self.dimension_names)]
        limit = field(f"rounds.{i}.limit", SCHEMA["$defs"]["RoundConfig"]["properties"]["limit"])
        limit.label, limit.help_text = "First so many prompts", "empty is all, in seeded order"
        return {
            f"rounds.{i}.prompts": choice(self._sets(), label="Prompt set"),
            f"rounds.{i}.focus": choice(focus, label="Dimension to improve", required=False),
            f"rounds.{i}.limit": limit,
            **weights,
        }

    def _evaluate_fields(self) -> dict[str, forms.Field]:
        drawn = section_fields("evaluate", "EvaluateConfig")
        judges = {
            f"evaluate.judges.{name}": choice(
                self._judges(name, Judge.Use.EVALUATION), required=False
            )
            for name in self.dimension_names
        }
        drawn["evaluate.limit"].help_text = "empty is all"
        prompts = choice(
            self._sets(), label=LABELS["evaluate.prompts"], told="its prompts are never mined"
        )
        same = ("", "the held-out set below")
        sets = {
            f"evaluate.sets.{name}": choice([same, *self._sets()], required=False)
            for name in self.dimension_names
        }
        compare = {
            f"evaluate.compare.{name}": choice(
                [("", "nobody"), *((judge, judge) for judge in found)],
                label=f"Win rate of {name} by",
                required=False,
                told="each prompt beside the start policy's, in both orders",
            )
            for name in self.dimension_names
            if (found := self._rubrics(name))
        }
        return {**drawn, "evaluate.prompts": prompts, **judges, **sets, **compare}

    def _noise_fields(self) -> dict[str, forms.Field]:
        told = "flat: instead of the spread above; empty takes what a repeated trial measured"
        return {
            f"mine.noise.{name}": forms.FloatField(
                label=f"Repeat noise of {name}", required=False, min_value=0, help_text=told
            )
            for name in self.dimension_names
        }

    def _sets(self) -> list[tuple[str, str]]:
        sets = filled_sets(self.project)
        return [(s.name, f"{s.name} ({s.seeds:,} prompts)") for s in sets]

    def _models(self) -> list[str]:
        """The policies that can be sampled."""
        found = self.project.policies.exclude(folder="", endpoint="")
        return list(found.values_list("name", flat=True))

    def _judges(self, dimension: str, first: str) -> list[tuple[str, str]]:
        """The dimension's judges that can judge, those for this use first."""
        found = self.project.judges.filter(dimension__name=dimension)
        cannot = [Judge.Engine.IMPORTED]
        cannot += [Judge.Engine.MC2] if first == Judge.Use.PAIRING else []
        usable = found.exclude(engine__in=cannot)
        return [(j.name, j.name) for j in sorted(usable, key=lambda j: (j.use != first, j.name))]

    def _rubrics(self, dimension: str) -> list[str]:
        """The dimension's judges that can compare two completions."""
        found = self.project.judges.filter(dimension__name=dimension, engine=Judge.Engine.RUBRIC)
        return list(found.order_by("name").values_list("name", flat=True))

    def clean(self) -> Values:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self.config = runs.parse_config(self._config(cleaned))
                runs.check_config(self.project, self.config)
            except runs.BadConfig as error:
                self.add_sentences(error.errors)
        return cleaned

    def add_sentences(self, errors: Mapping[str, str]) -> None:
        """Put each error on the field that its path names, else above the form."""
        for path, sentence in errors.items():
            text = sentence.removeprefix("Value error, ")
            self.add_error(path if path in self.fields else None, text)

    def _config(self, cleaned: Values) -> dict[str, Any]:
        """The configuration as plain data."""
        dims = cleaned["dimensions"]
        sections = {section: _under(cleaned, section) for section in SECTIONS}
        noise = {name: cleaned[f"mine.noise.{name}"] for name in dims}
        sections["mine"]["noise"] = {name: v for name, v in noise.items() if v is not None}
        evaluate = _under(cleaned, "evaluate")
        chosen = {name: cleaned[f"evaluate.judges.{name}"] for name in dims}
        own = {name: cleaned[f"evaluate.sets.{name}"] for name in dims}
        sets = {name: value for name, value in own.items() if value}
        asked = {name: cleaned.get(f"evaluate.compare.{name}") for name in dims}
        compare = {name: judge for name, judge in asked.items() if judge}
        return {
            **{name: cleaned[name] for name in ("policy", "seed", "dimensions", "resample_n")},
            "judges": {name: cleaned[f"judges.{name}"] for name in dims},
            "rounds": [self._round(cleaned, i, dims) for i in range(self.round_count)],
            **sections,
            "evaluate": {**evaluate, "judges": chosen, "sets": sets, "compare": compare},
        }

    def _round(self, cleaned: Values, i: int, dims: Iterable[str]) -> dict[str, Any]:
        weights = {name: cleaned[f"rounds.{i}.weights.{name}"] for name in self.dimension_names}
        given = {name: w for name, w in weights.items() if w is not None}
        whole = {**dict.fromkeys(dims, 0.0), **given} if given else None
        return {
            "prompts": cleaned[f"rounds.{i}.prompts"],
            "focus": cleaned[f"rounds.{i}.focus"] or None,
            "limit": cleaned[f"rounds.{i}.limit"],
            "weights": whole,
        }

    def values(self) -> Values:
        """What the form holds now, as values for another; the form must have data."""
        return {
            name: field.widget.value_from_datadict(self.data, self.files, name)
            for name, field in self.fields.items()
        }

    # What the template lists.

    def missing(self) -> list[str]:
        """What the project still needs before any run can be configured."""
        lacks = {
            "a policy with a model's folder": not self._models(),
            "a prompt set with prompts in it": not self._sets(),
            "two dimensions": len(self.dimension_names) < 2,
        }
        for name in self.dimension_names:
            lacks[f"a judge of {name} that can judge"] = not self._judges(name, Judge.Use.PAIRING)
        return [what for what, lacking in lacks.items() if lacking]

    def judge_rows(self) -> list[tuple[Any, forms.BoundField, forms.BoundField, forms.BoundField]]:
        """Per dimension its check box, its judges for pairing and for evaluation, and the set."""
        boxes = self["dimensions"].subwidgets
        return [
            (
                box,
                self[f"judges.{name}"],
                self[f"evaluate.judges.{name}"],
                self[f"evaluate.sets.{name}"],
            )
            for name, box in zip(self.dimension_names, boxes, strict=True)
        ]

    def rounds(self) -> list[dict[str, Any]]:
        return [
            {
                "index": i,
                "fields": [self[f"rounds.{i}.{name}"] for name in ("prompts", "focus", "limit")],
                "weights": [self[f"rounds.{i}.weights.{name}"] for name in self.dimension_names],
            }
            for i in range(self.round_count)
        ]

    def up_front(self) -> list[forms.BoundField]:
        return [self[name] for name in UP_FRONT]

    def evaluation(self) -> list[forms.BoundField]:
        names = ["evaluate.prompts", "evaluate.limit", "evaluate.n"]
        names += [name for name in self.fields if name.startswith("evaluate.compare.")]
        return [self[name] for name in names]

    def advanced(self) -> list[dict[str, Any]]:
        """The folded sections; one is open when a field of it has an error."""
        found = []
        for section, title in SECTIONS.items():
            names = [n for n in self.fields if n.startswith(f"{section}.") and n not in UP_FRONT]
            names += ["resample_n"] if section == "sample" else []
            fields = [self[name] for name in names]
            if fields:
                has_error = any(field.errors for field in fields)
                found.append({"title": title, "fields": fields, "open": has_error})
        return found


def _under(cleaned: Values, section: str) -> dict[str, Any]:
    prefix = f"{section}."
    names = [n for n in cleaned if n.startswith(prefix) and "." not in n.removeprefix(prefix)]
    return {name.removeprefix(prefix): cleaned[name] for name in names}
