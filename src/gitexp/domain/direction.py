"""Which way a metric is better."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from gitexp.domain.values import Number


class Direction(StrEnum):
    """Which values of a metric are better."""

    LOWER = "lower"
    HIGHER = "higher"


def direction(metric: str) -> Direction | None:
    """Which way a metric is better, as far as its name tells.

    The name is cut into words ("val/logLoss" is val, log, loss). A word that is, or ends in, one of a short list (loss,
    error, rmse, mae, perplexity, ...) means lower, one of another (accuracy, auc, f1, precision, recall, score, ...)
    higher; lower wins where both occur ("f1_loss"), and a word "neg" turns the answer round, as in scikit-learn.
    """
    words = [word.lower() for word in _WORD.findall(metric)]
    found = None
    if any(_means(word, _LOWER_ENDS, _LOWER) for word in words):
        found = Direction.LOWER
    elif any(_means(word, _HIGHER_ENDS, _HIGHER) for word in words):
        found = Direction.HIGHER
    if found is None or "neg" not in words:
        return found
    return Direction.HIGHER if found is Direction.LOWER else Direction.LOWER


def best(metric: str, values: Iterable[Number | None]) -> Number | None:
    """The best of several runs' values; None where the direction is not known, or where there is nothing to choose."""
    way = direction(metric)
    candidates = [value for value in values if value is not None and value == value]
    if way is None or len(candidates) < 2:
        return None
    low, high = min(candidates), max(candidates)
    if low == high:
        return None
    return low if way is Direction.LOWER else high


_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+[a-z]*")

_LOWER_ENDS = tuple(
    "loss losses error errors rmse rmsle mse mae mape perplexity nll regret divergence deviance".split()
)
_LOWER = frozenset("err ppl brier wer cer eer fid kl rms".split())
_HIGHER_ENDS = tuple("accuracy auc auroc auprc precision recall score reward likelihood".split())
_HIGHER = frozenset(
    "acc f1 r2 iou miou dice bleu rouge ndcg mrr psnr ssim kappa mcc sensitivity specificity f1macro f1micro".split()
)


def _means(word: str, ends: tuple[str, ...], whole: frozenset[str]) -> bool:
    bare = word.strip("0123456789")
    return word in whole or bare in whole or bare.endswith(ends)
