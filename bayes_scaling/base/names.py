"""The words that options take, with what they mean: the one list that Python, study files and the command line read.

Nothing heavy is imported here, so that help is fast. Costs and objectives are in `bayes_scaling.decide.names`. The
types are for type checkers; a test keeps them, these tables and the objects behind the words the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

type FamilyName = Literal["normal", "student_t"]
type NoiseName = Literal["auto", "student_t", "normal"]
type ScaleName = Literal["constant", "known", "growing"]
type ScaleChoice = Literal["auto", "constant", "known", "growing"]
type RowsName = Literal["independent", "correlated"]
type RowsChoice = Literal["auto", "independent", "correlated"]
type StartName = Literal["learned", "none"]
type DiscrepancyName = Literal["brownian", "trend", "none"]
type AlongName = Literal["auto", "size", "params", "params and batch"]
type SamplerName = Literal["auto", "nuts", "batched", "tempered", "laplace"]
type AlongsideName = Literal["exact", "huber", "squares", "laplace", "conformal", "together"]

FAMILIES: Mapping[FamilyName, str] = {"normal": "", "student_t": "learns how heavy the tails are"}
NOISES: Mapping[NoiseName, str] = {
    "auto": "normal for training curves, else student_t",
    "student_t": FAMILIES["student_t"],
    "normal": FAMILIES["normal"],
}
SCALES: Mapping[ScaleName, str] = {
    "constant": "the same for every run",
    "known": "adds each run's loss_se",
    "growing": "larger for small runs",
}
SCALE_CHOICES: Mapping[ScaleChoice, str] = {
    "auto": "growing for several laws of two inputs or more, else constant",
    "constant": SCALES["constant"],
    "known": SCALES["known"],
    "growing": SCALES["growing"],
}
ROWS: Mapping[RowsName, str] = {
    "independent": "",
    "correlated": "rows of one run share a slow deviation",
}
ROWS_CHOICES: Mapping[RowsChoice, str] = {
    "auto": "correlated for training curves",
    "independent": ROWS["independent"],
    "correlated": ROWS["correlated"],
}
STARTS: Mapping[StartName, str] = {
    "learned": "beside laws that read params, and batch or learning rate",
    "none": "the law holds from the first row on",
}
DISCREPANCIES: Mapping[DiscrepancyName, str] = {
    "brownian": "the law may be wrong, more so further out",
    "trend": "the same, and the truth goes on for a while the way it went",
    "none": "the law is exactly right",
}
ALONG: Mapping[AlongName, str] = {
    "auto": "size; for whole curves params, and the batch where there are enough of them",
    "size": "one path along the size of runs",
    "params": "one along their params",
    "params and batch": "one along each",
}
POOLING: Mapping[str, str] = {
    "partial": "groups vary around a common value",
    "separate": "groups say nothing about each other",
}
IRREDUCIBLE: Mapping[str, str] = {
    "shared": "one for all recipes",
    "own": "one for each recipe, around a common value",
}
SAMPLERS: Mapping[SamplerName, str] = {
    "auto": "fast NUTS, twice if need be, then nuts if its diagnostics are poor, then tempered if its chains disagree",
    "nuts": "NUTS with a long warm-up",
    "batched": "HMC that suits many tables at once, then nuts if its diagnostics are poor",
    "tempered": "copies from prior to posterior that swap, for several modes",
    "laplace": "normal approximation",
}
DEVICES: Mapping[str, str] = {"auto": "the CPU unless the table is very large", "cpu": "", "gpu": ""}
ALONGSIDE: Mapping[AlongsideName, str] = {
    "exact": "the law without a discrepancy",
    "huber": "point fit with a Huber loss",
    "squares": "point fit by least squares",
    "laplace": "normal approximation, law alone",
    "conformal": "point fit to three quarters of the runs, errors on the others as bands",
    "together": "all laws, fitted and weighed below each cut as a forecast from those runs would be",
}
USUALLY_ALONGSIDE: tuple[AlongsideName, ...] = ("exact", "huber", "squares", "laplace", "conformal")
"""What a comparison shows unless told otherwise; laws together take about as long as everything else."""
PICTURES = ("fit", "prior_posterior", "residuals", "traces", "exponents", "forecast", "laws")
"""Files that `save_all` draws of a fit; ``laws`` only of several."""
COMPARED = ("held_out", "ranking", "pit")
"""Files that are drawn of a comparison."""
CONVENTIONS: Mapping[str, str] = {"total": "", "non_embedding": "", "unstated": ""}
MOST_PROCESSES = 512
"""Worker processes that can be asked for."""
TRACKERS: Mapping[str, str] = {"wandb": "Weights & Biases", "mlflow": "MLflow", "tensorboard": "TensorBoard"}


def listed_as_choice(names: Iterable[str]) -> str:
    """Write words as a choice: ``auto, cpu or gpu``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def explained(names: Mapping[Any, str]) -> str:
    """Write words as a choice, each with what it means: ``brownian (...) or none (...)``."""
    return listed_as_choice(f"{name} ({meaning})" if meaning else name for name, meaning in names.items())
