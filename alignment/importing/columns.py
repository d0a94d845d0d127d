"""Which column of a file is the prompt, the completion, its id and its kind; or, of reviews, the
rewrite, who reviewed it, and what they decided."""

from collections.abc import Mapping, Sequence

from alignment.importing.rows import Unreadable

# By role the names it goes by in public data sets, the likeliest first.
NAMES = {
    "prompt": ("prompt", "goal", "instruction", "question", "query", "behavior", "input"),
    "completion": ("completion", "response", "output", "answer", "generation"),
    "id": ("id", "prompt_id", "uid", "index"),
    "kind": ("kind", "label", "category", "type", "dataset"),
}
REVIEW_NAMES = {
    "rewrite_key": ("rewrite_key", "key"),
    "original": ("original", "prompt"),
    "rewrite": ("rewrite", "rewritten"),
    "reviewer": ("reviewer", "annotator", "rater", "user"),
    "decision": ("decision", "verdict"),
    "text": ("text", "edited_text", "edit"),
    "reason": ("reason",),
    "words": ("words", "comment", "note"),
}
Names = Mapping[str, tuple[str, ...]]


def choose(
    columns: Sequence[str],
    asked: Mapping[str, str],
    needed: Sequence[str],
    names: Names = NAMES,
) -> dict[str, str]:
    """The column of each role: the one asked for, else one of a usual name, else none.

    Raises Unreadable for a needed role without a column, and for a role or a column that does
    not exist.
    """
    if unknown := sorted(set(asked) - set(names)):
        raise Unreadable(f"nothing is called {unknown[0]!r} here; it is one of {_list(names)}")
    for role, column in asked.items():
        if column not in columns:
            raise Unreadable(f"no column {column!r} for the {role}; the file has {_list(columns)}")
    free = [column for column in columns if column not in asked.values()]
    chosen = {**_guessed(free, names), **asked}
    for role in needed:
        if role not in chosen:
            have = f"the file has {_list(columns)}" if columns else "the file has no rows"
            raise Unreadable(f"no column looks like the {role} ({role}=COLUMN names one); {have}")
    return chosen


def _guessed(columns: Sequence[str], names: Names) -> dict[str, str]:
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    found = {role: [by_name[n] for n in known if n in by_name] for role, known in names.items()}
    return {role: known[0] for role, known in found.items() if known}


def _list(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(map(repr, names))
