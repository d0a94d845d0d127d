"""Forms by which researchers add policies, and add and edit judges and rewriters.

Settings are JSON as the engine's class reads them; each template in them has a field of its own.
"""

import json
from collections.abc import Iterator
from typing import Any

from django import forms
from django.conf import settings as console
from django.core.exceptions import ValidationError

from alignment.models import Judge, Policy, Project, Rewriter
from alignment.services import judges

TEXT = "text:"
TEMPLATES = ("system", "template", "prompt_template", "pair_template")
TEMPLATES_BY_NAME = ("templates", "intents")
SUCH_AS = (
    'such as {"model": {"engine": "endpoint", "endpoint": "NAME", "model": "MODEL"}}; what is left'
    " out is filled in"
)


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Policy
        fields = ("name", "folder", "endpoint", "served_as")
        help_texts = {  # noqa: RUF012
            "folder": "of a whole model in safetensors, below one of the operator's MODEL_ROOTS",
            "endpoint": "instead of a folder: a server of the operator's list; it is not trained",
            "served_as": "the model's name at the endpoint",
        }

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.project = project
        names = [("", "none"), *((name, name) for name in sorted(console.ENDPOINTS))]
        told = self.fields["endpoint"].help_text
        self.fields["endpoint"] = forms.ChoiceField(choices=names, required=False, help_text=told)


class VersionedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A judge or a rewriter; its every change is a new version."""

    def _post_clean(self) -> None:
        """What the service would refuse is said on the form."""
        super()._post_clean()  # type: ignore[misc]
        try:
            self.instance.validate_constraints()
            judges.check_change(self.instance)
        except ValidationError as error:
            self.add_error(None, error)


class IndentedField(forms.JSONField):
    def prepare_value(self, value: Any) -> Any:
        """A line for each setting; what was no JSON as it was written."""
        if isinstance(value, str):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class SettingsForm(VersionedForm):
    settings = IndentedField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "class": "mono", "spellcheck": "false"}),
    )

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.project = project
        settings = dict(self.instance.settings or {})
        for path, text in list(_texts(settings)):
            self.fields[TEXT + path] = forms.CharField(
                label=path.replace(".", ": ").replace("_", " ").capitalize(),
                initial=text,
                required=False,
                strip=False,
                max_length=20_000,
                widget=forms.Textarea(
                    attrs={"rows": min(16, 3 + text.count("\n") + len(text) // 140)}
                ),
            )
        hidden = {name: value for name, value in settings.items() if name not in _named(self)}
        self.initial["settings"] = hidden

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        settings = cleaned.get("settings") or {}
        if not isinstance(settings, dict):  # which the engine's class refuses
            return cleaned
        for name in [name for name in self.fields if name.startswith(TEXT)]:
            text = str(cleaned.get(name, "")).replace("\r\n", "\n")
            group, _, key = name.removeprefix(TEXT).partition(".")
            if key:
                settings.setdefault(group, {})[key] = text
            else:
                settings.setdefault(group, text)
        return {**cleaned, "settings": settings}


class JudgeForm(SettingsForm):
    class Meta:
        model = Judge
        fields = ("name", "dimension", "use", "engine", "rule", "prompt_rule", "settings")

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(project, *args, **kwargs)
        self.fields["dimension"].queryset = project.dimensions.all()  # type: ignore[attr-defined]
        engines = [c for c in Judge.Engine.choices if c[0] != Judge.Engine.IMPORTED]
        self.fields["engine"] = forms.ChoiceField(choices=engines)
        self.fields["settings"].help_text = (
            f"as docs/operations.md lists them, {SUCH_AS}; a reward model's high value is a high"
            ' raw score: "weights": [-1] turns it round, "own_units": true leaves it as it is'
        )
        for name in ("dimension", "engine"):
            self.fields[name].disabled = self.instance.pk is not None


class RewriterForm(SettingsForm):
    class Meta:
        model = Rewriter
        fields = ("name", "settings")

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(project, *args, **kwargs)
        self.fields["settings"].help_text = SUCH_AS


def _texts(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The templates of settings, by their paths."""
    for name, value in settings.items():
        if name in TEMPLATES:
            yield name, str(value)
        elif name in TEMPLATES_BY_NAME and isinstance(value, dict):
            yield from ((f"{name}.{key}", str(text)) for key, text in value.items())


def _named(form: forms.BaseForm) -> set[str]:
    """The settings that have fields of their own."""
    paths = (name.removeprefix(TEXT) for name in form.fields if name.startswith(TEXT))
    return {path.partition(".")[0] for path in paths}
