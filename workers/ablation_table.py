"""The ablation's figures as Markdown, for the generated part of `docs/ablation.md`."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from workers.ablation import TOLD

OPEN, CLOSE = "<!-- generated: make ablation -->", "<!-- /generated -->"
NUMBERS = {
    "joint_pass_rate": "all bars passed",
    "joint_pass_at": "Pass@{m}, all bars",
    "joint_attainment": "best of {m}, least dimension",
    "reward_variance": "reward variance",
    "volume": "attainable volume at {m}",
    "coverage": "coverage ratio",
}


def write_table(path: Path, found: Mapping[str, Any]) -> None:
    """Put the tables between the file's two marks; what stands around them stays."""
    text = path.read_text() if path.exists() else f"# Ablation\n\n{OPEN}\n{CLOSE}\n"
    head, _, rest = text.partition(OPEN)
    _, _, tail = rest.partition(CLOSE)
    path.write_text(f"{head}{OPEN}\n{tables(found)}\n{CLOSE}{tail or chr(10)}")


def tables(found: Mapping[str, Any]) -> str:
    """All tables, with what they show."""
    seeds = ", ".join(map(str, found["seeds"]))
    parts = [
        f"Seeds {seeds}; {found['rounds'][-1]['held_out_prompts']} held-out prompts;"
        f" {found['world']}.",
        *(part for after in found["rounds"] for part in _after(after, found)),
        "### Ceiling before and after rewriting\n\nFirst round, fresh rollouts: of the originals"
        f" (`none`) and of each arm's prompts, at m = {found['ceiling']['m']}. In brackets the"
        " paired change to the originals with its 95 % interval and Holm-corrected p.",
        _ceiling(found["ceiling"]),
        "### Harm of the prompts\n\nChange in the prompts' own harm by rewriting, from -1 to 1,"
        " over all rounds; the other arms keep the originals.",
        _harm(found["prompt_harm"]),
        "### What each arm worked on\n\nA number a seed: prompts mined, rewrites accepted, those on"
        " prompts common to all arms, pairs, those whose rejected completion refuses, optimizer"
        " steps. Without a pair nothing is trained.",
        _counts(found["counts"]),
    ]
    return "\n\n".join(parts)


def _after(after: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The tables of the policies after a round."""
    arms, dims = after["arms"], found["dimensions"]
    return [
        f"### Policies after round {after['round']} ({after['focus']})\n\nMean rewards from 0 to 1"
        " by judges that took no part in pairing, the hypervolume of the mean reward vector against"
        " 0, refusals and completion lengths, with 95 % intervals over seeds and prompts.",
        _arms(arms, dims),
        f"Differences to `{found['base']}`, paired over prompts and seeds; p of the sign-flip test,"
        " Holm-corrected over the round's arms and dimensions; beside it the difference that"
        " completion length does not explain (intercept of least squares on length differences).",
        _differences(after["differences"]),
        "Win rates against the start policy by the evaluation judges' scores, rollout by rollout:"
        " (wins + 0.5 ties) / valid.",
        _wins(arms, dims),
        "Mean rewards and refusals by kind of held-out prompt: a task (helpful), a misdeed"
        " (safety), or either with a wish or two (mixed).",
        _kinds(after["kinds"], dims),
        "Hypervolume of the mean reward vector, each seed.",
        _seeds(arms, found["seeds"]),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(found: Mapping[str, Any] | None, digits: int = 3) -> str:
    if found is None or found["value"] is None:
        return "undefined"
    ends = (
        ""
        if found["low"] is None
        else f" ({found['low']:.{digits}f} to {found['high']:.{digits}f})"
    )
    return f"{found['value']:.{digits}f}{ends}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _arms(arms: Mapping[str, Any], dims: Sequence[str]) -> str:
    rows = [
        [
            f"`{name}`",
            TOLD.get(name, ""),
            *(_number(arm["rewards"][d]) for d in dims),
            _number(arm["hypervolume"]),
            _number(arm["refusal_rate"]),
            _number(arm["tokens"], 1),
        ]
        for name, arm in arms.items()
    ]
    return _table(["arm", "what", *dims, "hypervolume", "refusals", "tokens"], rows)


def _differences(differences: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"`{d['arm']}`",
            d["figure"],
            _number(d["plain"]),
            _p(d["corrected"]),
            _number(d["at_equal_length"]) if d["at_equal_length"] else "",
        ]
        for d in differences
    ]
    return _table(["arm", "figure", "difference", "corrected p", "at equal length"], rows)


def _kinds(kinds: Mapping[str, Any], dims: Sequence[str]) -> str:
    names = [*dims, "refusals"]
    rows = [
        [kind, f"`{arm}`", *(_number(found[name], 2) for name in names)]
        for kind, arms in kinds.items()
        for arm, found in arms.items()
    ]
    return _table(["kind", "arm", *names], rows)


def _wins(arms: Mapping[str, Any], dims: Sequence[str]) -> str:
    rows = [
        [f"`{name}`", *(_number(arm["wins"][d]["rate"]) for d in dims)]
        for name, arm in arms.items()
        if arm["wins"]
    ]
    return _table(["arm", *dims], rows)


def _ceiling(ceiling: Mapping[str, Any]) -> str:
    def cell(number: Mapping[str, Any]) -> str:
        mean, change = number["mean"], number["change"]
        text = "undefined" if mean["value"] is None else f"{mean['value']:.3f}"
        if change is None or change["value"] is None:
            return text
        return f"{text} [{_number(change)}; p {_p(number['corrected_p'])}]"

    head = ["arm", *(told.format(m=ceiling["m"]) for told in NUMBERS.values())]
    rows = [
        [f"`{arm}`", *(cell(numbers[name]) for name in NUMBERS)]
        for arm, numbers in ceiling["arms"].items()
    ]
    return _table(head, rows)


def _harm(harm: Mapping[str, Any]) -> str:
    return _table(["arm", "change"], [[f"`{arm}`", _number(own)] for arm, own in harm.items()])


def _counts(counts: Sequence[Mapping[str, Any]]) -> str:
    names = ("mined", "accepted", "common", "pairs", "rejected_refusals", "steps")
    rows = []
    for number, arm in sorted(
        dict.fromkeys((c["round"], c["arm"]) for c in counts), key=itemgetter(0)
    ):
        own = [c for c in counts if (c["round"], c["arm"]) == (number, arm)]
        each = [", ".join(str(c[name]) for c in own) for name in names]
        rows.append([str(number), f"`{arm}`", *each])
    return _table(["round", "arm", *(name.replace("_", " ") for name in names)], rows)


def _seeds(arms: Mapping[str, Any], seeds: Sequence[int]) -> str:
    rows = [
        [f"`{name}`", *("" if s["hypervolume"] is None else f"{s['hypervolume']:.3f}"
                        for s in arm["by_seed"])]
        for name, arm in arms.items()
    ]  # fmt: skip
    return _table(["arm", *(f"seed {seed}" for seed in seeds)], rows)
