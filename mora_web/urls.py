"""Addresses."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

from alignment.api import api
from alignment.views import (
    bulk,
    ceilings,
    compare,
    desk,
    guidelines,
    judges,
    members,
    models,
    projects,
    results,
    reviews,
    run_form,
    runs,
)

run_pages = [
    path("", runs.run_page, name="run"),
    path("start/", runs.start_run, name="start-run"),
    path("cancel/", runs.cancel_run, name="cancel-run"),
    path("retry/", runs.retry_run, name="retry-run"),
    path("log.txt", runs.run_log, name="run-log"),
    path("attempts/", runs.attempts, name="attempts"),
    path("training.csv", runs.training_csv, name="training-csv"),
]
review_pages = [
    path("", reviews.decide, name="decide"),
    path("draft/", reviews.draft, name="review-draft"),
    path("hold/", reviews.hold, name="review-hold"),
    path("release/", reviews.release, name="review-release"),
    path("undo/", reviews.undo, name="undo-review"),
    path("adjudicate/", desk.adjudication, name="adjudicate"),
    path("adjudicate/undo/", desk.undo_adjudication, name="undo-adjudication"),
]
desk_pages = [
    path("", desk.desk_page, name="desk"),
    path("per-hour.csv", desk.throughput_csv, name="throughput-csv"),
    path("disputes/", desk.disputes, name="disputes"),
    path("agreement/", desk.agreement_page, name="agreement"),
    path("import/", desk.import_file, name="import-reviews"),
    path("close/", desk.close_now, name="close-review"),
    path("rerun/", desk.rerun, name="rerun"),
    path("rewrites/", bulk.rewrites, name="rewrites"),
    path("assign/", bulk.assign, name="assign"),
    path("bulk/", bulk.preview, name="bulk-preview"),
    path("bulk/<uuid:token>/apply/", bulk.apply, name="bulk-apply"),
    path("bulk/<uuid:token>/undo/", bulk.undo, name="bulk-undo"),
]
member_pages = [
    path("", members.members, name="members"),
    path("<int:member_id>/role/", members.change_role, name="change-role"),
    path("<int:member_id>/remove/", members.remove_member, name="remove-member"),
    path("invite/", members.invite, name="invite"),
    path("invitations/<int:invitation_id>/revoke/", members.revoke, name="revoke-invitation"),
]
project_pages: list[URLPattern | URLResolver] = [
    path("", projects.project_page, name="project"),
    path("runs/", runs.run_list, name="runs"),
    path("runs/new/", run_form.new_run, name="new-run"),
    path("runs/<int:run_id>/", include(run_pages)),
    path("review/", reviews.review, name="review"),
    path("review/mine/", reviews.my_reviews, name="my-reviews"),
    path("review/<int:item_id>/", include(review_pages)),
    path("ceiling/", ceilings.ceiling, name="ceiling"),
    path("ceiling/<int:stage_id>/freeze/", ceilings.freeze, name="freeze-volume"),
    path("ceiling.csv", ceilings.ceiling_csv, name="ceiling-csv"),
    path("review/desk/", include(desk_pages)),
    path("guideline/", guidelines.guideline, name="guideline"),
    path("members/", include(member_pages)),
    path("results/", results.results, name="results"),
    path("results.csv", results.results_csv, name="results-csv"),
    path("compare/", compare.compare, name="compare"),
    path("compare.csv", compare.compare_csv, name="compare-csv"),
    path("policies/", projects.policies, name="policies"),
    path("prompts/", projects.prompt_sets, name="prompts"),
    path("prompts/import/", projects.import_prompts, name="import-prompts"),
    path("dimensions/", projects.dimensions, name="dimensions"),
    path("policies/new/", models.new_policy, name="new-policy"),
    path("judges/new/", models.judge_form, name="new-judge"),
    path("judges/<int:judge_id>/edit/", models.judge_form, name="edit-judge"),
    path("rewriters/new/", models.rewriter_form, name="new-rewriter"),
    path("rewriters/<int:rewriter_id>/edit/", models.rewriter_form, name="edit-rewriter"),
    path("judges/<int:judge_id>/", judges.judge_page, name="judge"),
    path("judges/<int:judge_id>/try/", judges.try_judge, name="try-judge"),
]
urlpatterns = [
    path("", projects.project_list, name="projects"),
    path("sign-in/", LoginView.as_view(template_name="sign_in.html"), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("projects/<slug:slug>/", include(project_pages)),
    path("invitations/<str:token>/", members.join, name="join"),
    path("workers/", projects.workers, name="workers"),
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
]
