"""What an operator sets up and looks up: projects with their members, dimensions and judges can be
edited; what runs wrote can only be read, and status only moves by the lifecycle."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from alignment import models
from alignment.model_forms import VersionedForm
from alignment.services import judges

admin.site.site_header = admin.site.site_title = "MORA console"
admin.site.index_title = "Set up and look up"


NAMED = ("project", "name")  # runs name them, so they stay once made


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that workers and services write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = models.Membership
    extra = 0
    autocomplete_fields = ("user",)


class DimensionInline(admin.TabularInline):  # type: ignore[type-arg]
    """Added at any time; changed until a run stands on their names, scales and bars."""

    model = models.Dimension
    extra = 0

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or not obj.runs.exists()

    has_delete_permission = has_change_permission


@admin.register(models.Project)
class ProjectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    inlines = (MembershipInline, DimensionInline)


class Versioned(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows whose every change is a new version, which their service sees to."""

    form = VersionedForm
    readonly_fields = ("version",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and not judges.runs_naming(obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        judges.save(obj)


@admin.register(models.Judge)
class JudgeAdmin(Versioned):
    list_display = ("name", "project", "dimension", "use", "engine", "rule", "version")
    list_filter = ("project", "use", "engine")
    search_fields = ("name", "rule")


@admin.register(models.Rewriter)
class RewriterAdmin(Versioned):
    list_display = ("name", "project", "version")
    list_filter = ("project",)
    search_fields = ("name",)


@admin.register(models.JudgeTrial)
class JudgeTrialAdmin(ReadOnly):
    list_display = ("id", "judge", "judge_version", "state", "error", "asked_by", "created_at")
    list_filter = ("state",)


@admin.register(models.Policy)
class PolicyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "project", "folder", "parent", "created_at")
    list_filter = ("project",)
    search_fields = ("name", "sha256")
    readonly_fields = ("adapter", "sha256", "adapter_sha256", "parent", "stage", "facts")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(NAMED if obj else ()))


@admin.register(models.PromptSet)
class PromptSetAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "project", "source", "created_at")
    list_filter = ("project",)
    search_fields = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return NAMED if obj else ()


@admin.register(models.Prompt)
class PromptAdmin(ReadOnly):
    list_display = ("id", "text", "kind", "strategy", "prompt_set")
    list_filter = ("prompt_set", "strategy")
    search_fields = ("text", "external_id")
    list_select_related = ("prompt_set",)


@admin.register(models.Run)
class RunAdmin(ReadOnly):
    list_display = ("name", "project", "status", "created_by", "started_at", "ended_at")
    list_filter = ("project", "status")
    search_fields = ("name",)


@admin.register(models.Stage)
class StageAdmin(ReadOnly):
    list_display = ("id", "run", "round", "kind", "status", "done", "total", "reason")
    list_filter = ("kind", "status")
    list_select_related = ("run",)


@admin.register(models.Chunk)
class ChunkAdmin(ReadOnly):
    list_display = ("id", "stage_id", "part", "index", "state", "owner", "attempts", "error")
    list_filter = ("state",)


@admin.register(models.Event)
class EventAdmin(ReadOnly):
    list_display = ("run", "seq", "kind", "data", "at")
    list_filter = ("kind",)
    list_select_related = ("run",)


@admin.register(models.Rollout)
class RolloutAdmin(ReadOnly):
    list_display = ("id", "prompt_id", "index", "finish_reason", "tokens", "text")
    list_filter = ("finish_reason",)


@admin.register(models.Evaluation)
class EvaluationAdmin(ReadOnly):
    list_display = ("label", "project", "policy", "created_at")
    list_filter = ("project",)
    list_select_related = ("project", "policy")


@admin.register(models.Review)
class ReviewAdmin(ReadOnly):
    list_display = ("id", "item_id", "reviewer", "decision", "reason", "created_at")
    list_filter = ("decision",)


@admin.register(models.Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "queue", "slots", "busy", "started_at", "heartbeat_at")
