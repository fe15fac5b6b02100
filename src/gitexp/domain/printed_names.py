"""Names that stand before numbers in what programs print: which are measurements, and the keys they become.

Words are looked at without case and without the digits at their end: `mAP50` is "map", `val_loss1` is "val", "loss".
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache


class Kind(IntEnum):
    """What a name says of its number; the docs say what follows from it (docs/metrics.md)."""

    MEASURED = 0
    """Known as a measurement: loss, accuracy, rmse."""
    OTHER = 1
    """Unknown: it counts where its line is clearly one of measurements."""
    SCHEDULED = 2
    """A setting that changes during training, as the learning rate."""
    SETTING = 3
    """A setting: a sign that the line is none of measurements."""
    COST = 4
    """Time, speed, memory, counts: never a metric."""


MEASURED = frozenset(
    """
    loss losses acc accuracy accuracies auc auroc auprc aucpr prauc rocauc roc ap map mrr ndcg precision recall
    f fscore fbeta specificity sensitivity iou miou jaccard dice rmse mse mae mape smape wape rmsle msle medae
    error err errors logloss mlogloss merror crossentropy entropy nll ce bce elbo kl kld perplexity ppl bpc bpb
    bleu sacrebleu rouge meteor wer cer ter chrf cider psnr ssim lpips fid inertia silhouette likelihood loglik
    loglikelihood aic bic rsquared rsq rsqu r reward rewards rew score scores mcc kappa corr correlation pearson
    spearman kendall gini brier ece hinge huber regret objective deviance rho em fitness
    homogeneity completeness ari nmi ami
    """.split()
)
_WEAK = frozenset("value result return returns cost gain".split())
"""Measured where another word says so: "best value", "mean return"."""
_QUALIFIERS = frozenset(
    """
    train training trained tr valid validation val vl test testing tst eval evaluation dev holdout oof cv best
    final last current mean avg average averaged median total overall running smoothed smooth ema min max
    minimum maximum macro micro weighted balanced top root squared absolute percentage relative normalized
    masked mask box bbox cls class classification reg regression aux auxiliary generator discriminator gen disc
    critic actor policy value function objective cross categorical binary negative log mean-squared r adj
    adjusted pseudo word char character token sentence semantic pixel area roc pr under curve hit at
    reconstruction recon perceptual adversarial triplet contrastive distillation student teacher episode
    episodic cumulative discounted g d f score pinball quantile rate oob matthews coefficient coef coeff
    """.split()
)
SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validating", "vl", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("eval", "evaluation", "evaluating", "holdout", "oof"), "eval"),
}
"""Words that say on which data something was measured."""
_SCHEDULED = frozenset("lr momentum temperature tau epsilon wd decay".split())
_SETTINGS = frozenset(
    """
    weight weights threshold thresh thres coef coeff coefficient alpha beta gamma delta eps epsilon margin
    lambda patience tol tolerance factor smoothing decay interval every freq frequency name type fn function
    criterion num number n count depth width height hidden layers layer heads dim dims dimension size sizes
    batch seed seeds port version dropout drop momentum optimizer optim workers devices device rank estimators
    leaves neighbors clusters components features channels kernel stride padding bias limit limits budget cutoff
    scale warmup schedule param params parameter parameters hparams config default base initial init bound lower
    upper id pid idx index line page year day month target targets goal row rows column columns col level mode
    status code exit retries attempts timeout tree trees bins shape norm_first
    """.split()
)
_ALSO_PLACES = frozenset("function batch bias layer layers level rank hidden device component head".split())
"""Words among them that say of which part something was measured."""
_COSTS = frozenset(
    """
    time times timestamp date eta etc elapsed remaining duration runtime took wall walltime secs sec second
    seconds ms minute minutes hour speed fps ips throughput wps ups tps qps flops flos gflops bandwidth mem
    memory ram vram gpu cpu disk bytes mb gb sample samples examples instances images tokens files items support
    epochs steps iterations observations obs df batches iteration iter step progress percent percentage dur data
    latency update updates wpb bsz clients vs versus
    """.split()
)
_COEFFICIENTS = frozenset("coefficient coef coeff".split())
_MEASURED_AS_COEFFICIENTS = frozenset("dice jaccard silhouette correlation corr pearson spearman gini kappa".split())
"""What is called a coefficient and is a measurement, as in `dice_coef`; that of a loss is a setting."""
OTHER_LOSSES = re.compile(r"\b(?:packets?|heat|insertion|stop|data|hair|job)[ _-]loss", re.IGNORECASE)
"""Losses that nobody trains with."""
_FILE = re.compile(
    r"\.(?:py[cxi]?|ipynb|c|cc|cpp|cu|h|hpp|js|ts|rs|go|java|sh|json|ya?ml|toml|txt|csv|tsv|log|md|rst|pth?|ckpt|npy|npz"
    r"|pkl|h5|hdf5|onnx|safetensors|parquet|zip|gz|tar|png|jpe?g|html|cfg|ini)$",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\x80-\xff]+|[A-Z]+")
_KEPT = re.compile(r"[^\w@./%+\-\x80-\xff]+")
_STEP_NAMES = frozenset(
    "epoch epochs step steps iter iters iteration iterations batch episode episodes round trial fold generation".split()
)


@lru_cache(4096)
def tokens(word: str) -> tuple[str, ...]:
    """The words in an identifier: `valMeanLoss1` gives val, mean, loss; `mAP50` gives map."""
    found = tuple(part.lower() for part in _TOKEN.findall(word.replace("mAP", "map").replace("mIoU", "miou")))
    whole = word.strip("0123456789._-'").lower()
    if whole in MEASURED or whole in _COSTS:
        return (whole,)
    return ("rsquared",) if re.match(r"r[-_ ]?(?:2$|sq)", word, re.IGNORECASE) else found


@lru_cache(4096)
def kind_of(name: str) -> Kind:
    """What a whole name is; its words are separated by blanks or as in identifiers."""
    parts = [part for word in name.split() for part in tokens(word)]
    if (
        not parts
        or _FILE.search(name)
        or OTHER_LOSSES.search(name)
        or name.startswith(("self.", "cls.", "http", "www."))
    ):
        return Kind.COST
    held = set(parts)
    if held & _MEASURED_AS_COEFFICIENTS:
        held -= _COEFFICIENTS
    lowered = name.lower()
    if "learning" in held and "rate" in held:
        return Kind.SCHEDULED
    if "per" in held and held & _COSTS and not held & {"bits"}:
        return Kind.COST
    measured = bool(held & MEASURED) and not held <= {"r", "f", "map", "em", "ap"} - _exact(lowered)
    if held & _COSTS and not (measured and held & _COSTS <= {"data", "sample", "step", "percentage"}):
        return Kind.COST
    if len(parts) <= 2 and held & {"lr"}:
        return Kind.SCHEDULED
    measured = measured or bool(held & _WEAK and held & (_QUALIFIERS - {"value"}))
    if held & _SETTINGS and not (measured and held & _SETTINGS <= _ALSO_PLACES):
        return Kind.SCHEDULED if len(parts) == 1 and held & _SCHEDULED else Kind.SETTING
    if measured:
        return Kind.MEASURED
    return Kind.COST if held <= _STEP_NAMES else Kind.OTHER


def _exact(lowered: str) -> set[str]:
    """Of the very short names those that are written as measurements are."""
    return {part for part, form in (("r", "r2"), ("f", "f1"), ("map", "map"), ("ap", "ap")) if lowered.startswith(form)}


@lru_cache(4096)
def is_name_word(word: str) -> bool:
    """Whether a word can belong to the name of a measurement of several words: "mean", "validation", "squared"."""
    parts = tokens(word)
    return bool(parts) and all(part in _QUALIFIERS or part in MEASURED for part in parts)


def split_of(name: str) -> str | None:
    """The data that a name speaks of: "train", "val", "test", "eval"; None where it does not say."""
    return next((SPLITS[part] for word in name.split() for part in tokens(word) if part in SPLITS), None)


def key_of(name: str) -> str:
    """The key: an identifier as printed, several words joined by `_`; what no identifier holds is left out."""
    name = name.replace("'s ", "-").replace("^", "")
    key = _KEPT.sub("_", "_".join(word.rstrip(".") for word in name.split())).strip("_./-+%")
    return key.encode("latin-1", "replace").decode("utf-8", "replace")
