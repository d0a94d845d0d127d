"""The demo's summary as a text table for a terminal."""

from typing import Any


def table_of(summary: dict[str, Any]) -> str:
    """Per policy the mean reward and pass rate of every dimension with 95 % intervals, the joint
    pass rate and the hypervolume; then the run's counts."""
    policies = summary["policies"]
    dimensions = list(policies[0]["rewards"]) if policies else []
    rows = [["policy", *dimensions, "all at once", "hypervolume"]]
    for policy in policies:
        rewards = policy["rewards"]
        rows.append(
            [
                policy["name"],
                *(_estimate(rewards[d]["mean"], rewards[d]["mean_ci"]) for d in dimensions),
                "",
                _number(policy["hypervolume"]),
            ]
        )
        passes = (
            _estimate(rewards[d]["pass_rate"], rewards[d]["pass_rate_ci"]) for d in dimensions
        )
        joint = _estimate(policy["joint_pass_rate"], policy["joint_pass_rate_ci"])
        rows.append(["  share that passes", *passes, joint, ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)) for r in rows]
    counts = ", ".join(f"{summary[name]:,} {name}" for name in ("rollouts", "chunks", "pairs"))
    memory = f"at most {summary['peak_rss_mib']:,} MiB over all processes"
    lines += ["", f"{counts}; seed {summary['seed']}; {summary['seconds']:.0f} s; {memory}"]
    lines += ["Mean rewards lie in [0, 1]; 95 % intervals in brackets, by bootstrap over prompts."]
    lines += ["The sandbox exercises the method; it is no evidence for it."]
    return "\n".join(line.rstrip() for line in lines)


def _estimate(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return _number(value)
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
