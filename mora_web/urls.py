"""Addresses."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

from alignment.api import api
from alignment.views import (
    ceilings,
    compare,
    judges,
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
    path("training.csv", runs.training_csv, name="training-csv"),
]
review_pages = [
    path("", reviews.decide, name="decide"),
    path("draft/", reviews.draft, name="review-draft"),
    path("hold/", reviews.hold, name="review-hold"),
    path("release/", reviews.release, name="review-release"),
    path("undo/", reviews.undo, name="undo-review"),
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
    path("ceiling.csv", ceilings.ceiling_csv, name="ceiling-csv"),
    path("results/", results.results, name="results"),
    path("results.csv", results.results_csv, name="results-csv"),
    path("compare/", compare.compare, name="compare"),
    path("compare.csv", compare.compare_csv, name="compare-csv"),
    path("policies/", projects.policies, name="policies"),
    path("prompts/", projects.prompt_sets, name="prompts"),
    path("dimensions/", projects.dimensions, name="dimensions"),
    path("judges/<int:judge_id>/", judges.judge_page, name="judge"),
    path("judges/<int:judge_id>/try/", judges.try_judge, name="try-judge"),
]
urlpatterns = [
    path("", projects.project_list, name="projects"),
    path("sign-in/", LoginView.as_view(template_name="sign_in.html"), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("projects/<slug:slug>/", include(project_pages)),
    path("workers/", projects.workers, name="workers"),
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
]
