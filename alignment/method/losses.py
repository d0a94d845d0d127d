"""TRL's losses of preference pairs, and what each is before any training.

With the policy equal to its reference every log-ratio is 0, so h = 0, and a loss has one known
value; the step-1 gate of training compares with it (METHOD.md, section 3). TRL does the training.
"""

from math import log

LN2 = log(2)
# By name: the loss at h = 0, from beta and the label smoothing; None where it depends on the data.
AT_ZERO = {
    "sigmoid": lambda beta, smooth: LN2,
    "hinge": lambda beta, smooth: 1.0,
    "ipo": lambda beta, smooth: (1 / (2 * beta)) ** 2,
    "exo_pair": lambda beta, smooth: -LN2 - 0.5 * (log(1 - smooth) + log(smooth)),
    "nca_pair": lambda beta, smooth: 2 * LN2,
    "robust": lambda beta, smooth: LN2,
    "bco_pair": lambda beta, smooth: 2 * LN2,
    "sppo_hard": lambda beta, smooth: 2 * (0.5 / beta) ** 2,
    "aot": lambda beta, smooth: LN2,
    "aot_unpaired": lambda beta, smooth: LN2,
    "apo_zero": lambda beta, smooth: 1.0,
    "apo_down": lambda beta, smooth: 1.0,
    "discopop": lambda beta, smooth: 0.5 * LN2 + 0.5,
    "sigmoid_norm": lambda beta, smooth: LN2,
    "sft": None,
}


def parse_losses(text: str) -> dict[str, float]:
    """Losses with their weights, from `sigmoid` or `sigmoid=1, sft=0.2`. Raises ValueError."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name not in AT_ZERO:
            raise ValueError(f"there is no loss {name!r}; TRL has {', '.join(AT_ZERO)}")
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            weight = 0.0
        if name in found or not 0 < weight < 1e6:
            raise ValueError(f"the loss {name!r} needs one weight above 0, as in {name}=0.5")
        found[name] = weight
    return found


def loss_at_zero(losses: dict[str, float], beta: float, smoothing: float) -> float | None:
    """The weighted sum of the losses at h = 0; None with a loss that has no such value."""
    values = []
    for name, weight in losses.items():
        formula = AT_ZERO[name]
        if formula is None:
            return None
        values.append(weight * formula(beta, smoothing))
    return sum(values)
