"""The tasks of SLDBench and ScaleBench: TASK_train.csv, TASK_test.csv.

One setting for all of them: the laws that a task names, each with its discrepancy and without one, mixed by equal
weights; where a task has groups, every parameter of a law comes from a population of groups, and losses are in units of
their group's median, so that only what a law says is pooled. R2 of the median forecast over all test rows of a target,
all groups together, at least -1; then the mean over targets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_scaling.base.names import SamplerName
from suites import answer, metrics
from suites.cells import Cell, Row, located, row

SUITE = "SLDBench / ScaleBench"
SEQUENCE = 2048  # tokens, of lr_bsz
UNIGRAM = 8.0  # nats, added to the unigram-normalised loss: what a unigram model loses, about; any constant does
DOMAINS = tuple(f"d{i}" for i in range(1, 6))

type Inputs = Callable[[pd.DataFrame], pd.DataFrame]


def renamed(**columns: str) -> Inputs:
    """Return a function that takes columns under our names: ``params="N"``."""
    return lambda table: pd.DataFrame({ours: table[theirs] for ours, theirs in columns.items()})


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    name : of its files
    inputs : the columns that the laws read, from the table
    laws : the laws of each target
    grouped : whether its groups are tables of their own
    sign, shift : the loss that is fitted is sign times the target plus shift
    published : R2 of others
    note : what was done
    """

    name: str
    inputs: Inputs
    laws: Mapping[str, Sequence[str]]
    published: Mapping[str, float]
    grouped: bool = False
    sign: float = 1.0
    shift: float = 0.0
    note: str = ""


def _steps(table: pd.DataFrame) -> pd.DataFrame:
    batch = table["bsz"] * SEQUENCE
    return pd.DataFrame(
        {
            "params": table["non_embedding_param_size"],
            "steps": table["data_size"] / batch,
            "batch_tokens": batch,
            "peak_learning_rate": table["lr"],
        }
    )


def _curves(table: pd.DataFrame) -> pd.DataFrame:
    """Take rows of one size and one vocabulary as one run, whose position is its number of characters."""
    inputs = renamed(params="non_vocab_parameters", vocabulary="vocab_size", characters="num_characters")(table)
    run = inputs["params"].map("{:.0f}".format) + " " + inputs["vocabulary"].map("{:.0f}".format)
    return inputs.assign(run=run, tokens=inputs["characters"])


def _tuned(table: pd.DataFrame) -> pd.DataFrame:
    """Take rows of one group, a model and a set, as one run along its examples: they leave the law together."""
    return pd.DataFrame({"examples": table["sft_data_size"], "run": table["group"]})


def _mixture(own: str) -> str:
    return "mixture:domains=" + "+".join((own, *(name for name in DOMAINS if name != own)))


HUMAN, DISCOVERED, ALL = "best human law", "best discovered law", "ScaleBench, all data"
TASKS = (
    Task(
        "data_constrained",
        renamed(params="params", tokens="tokens", unique_tokens="unique_tokens"),
        {"loss": ("repeated_data", "repeated_data:exponents=free")},
        {HUMAN: 0.911, ALL: 0.79},
    ),
    Task(
        "domain_mixture",
        renamed(**{f"d{i}": f"proportion_domain_{i}" for i in range(1, 6)}),
        {f"loss_domain_{i}": (_mixture(f"d{i}"),) for i in range(1, 6)},
        {HUMAN: 0.671, DISCOVERED: 0.988, ALL: 0.81},
        grouped=True,
    ),
    Task("lr_bsz", _steps, {"lm_loss": ("tuning",)}, {HUMAN: -0.076, ALL: 0.04}),
    Task(
        "moe",
        renamed(params="dense_parameter_count", experts="num_experts"),
        {"loss_validation": ("moe_routing", "moe_effective")},
        {HUMAN: 0.703, ALL: 0.81},
    ),
    Task(
        "parallel",
        renamed(params="num_params", streams="parallel_size"),
        {"loss": ("parallel_scaling",)},
        {HUMAN: 1.0, ALL: 0.99},
        grouped=True,
    ),
    Task(
        "vocab",
        _curves,
        {"unigram_normalized_loss": ("vocabulary_size",)},
        {HUMAN: 0.966, ALL: 0.93},
        shift=UNIGRAM,
        note="loss + 8 nats: the target, a difference to a unigram model, is negative; rows of a run are correlated",
    ),
    Task(
        "sft",
        _tuned,
        {"sft_loss": ("fine_tuning",)},
        {HUMAN: 0.957, DISCOVERED: 0.993},
        grouped=True,
        note="rows of a group lie along its examples, and are correlated",
    ),
    Task(
        "easy_question",
        lambda table: pd.DataFrame({"flops": 10 ** (table["log_flops"] + 21)}),
        {"brier_score": ("power_law:input=flops", "delayed_power_law:input=flops")},
        {HUMAN: -1.0},
        grouped=True,
        sign=-1.0,
        note="the Brier score itself, which is minus the target; input: compute, in the table in 1e21 FLOP",
    ),
    Task(
        "sparsity",
        lambda table: pd.DataFrame({"params": table["N_active"] * 1e9, "tokens": table["D2"] * 1e9}),
        {"loss": answer.TWO_INPUTS},
        {"ScaleBench, 50 %": 0.53, ALL: 0.37},
        note="active parameters and the tokens after upcycling; sparsity itself was not used",
    ),
    Task(
        "distillation",
        renamed(params="NS", tokens="DS", teacher_loss="LT"),
        {"LS": ("distillation",)},
        {},
    ),
    Task("chinchilla", renamed(params="N", tokens="D"), {"loss": answer.TWO_INPUTS}, {}),
    Task(
        "sae",
        renamed(params="n", tokens="k"),
        {"loss": answer.TWO_INPUTS},
        {},
        note="latents as parameters, active latents as tokens",
    ),
)
SLDBENCH = ("data_constrained", "domain_mixture", "lr_bsz", "moe", "parallel", "vocab", "sft", "easy_question")


def to_fit(task: Task, target: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return inputs, loss and group of a table, as the task's laws take them."""
    loss = task.sign * table[target] + task.shift
    fitted = task.inputs(table).assign(loss=loss)
    return fitted.assign(group=table["group"].map(plain_group)) if task.grouped else fitted


def plain_group(name: str) -> str:
    """Return the name of a group without commas and quotes."""
    return "".join(letter for letter in name if letter not in "(),'\"").replace(" ", "_")


def measure(task: Task, train: pd.DataFrame, test: pd.DataFrame, sampler: SamplerName) -> pd.DataFrame:
    """Score every target of a task; losses and medians as they are in the table of the task."""
    parts = []
    for target, laws in task.laws.items():
        below, above = to_fit(task, target, train), to_fit(task, target, test)
        unit = pd.Series(1.0, index=above.index)
        if task.grouped:
            medians = below.groupby("group")["loss"].median()
            below = below.assign(loss=below["loss"] / below["group"].map(medians))
            unit = above["group"].map(medians)
        scores = answer.ours(
            laws,
            below,
            above.drop(columns="loss"),
            (above["loss"] / unit).to_numpy(),
            sampler,
            pooled="group" if task.grouped else "",
        )
        for name in ("loss", "median"):
            scores[name] = task.sign * (scores[name] * unit.to_numpy() - task.shift)
        parts.append(scores.assign(target=target, fit=target))
    return pd.concat(parts, ignore_index=True)


def measure_files(name: str, train: Path, test: Path, sampler: SamplerName) -> pd.DataFrame:
    """Score the task of a name, from its files."""
    task = next(task for task in TASKS if task.name == name)
    return measure(task, pd.read_csv(train), pd.read_csv(test), sampler)


def cells(data: Path) -> Iterator[Cell]:
    """Name what can be measured with the files of a folder."""
    for task in TASKS:
        train, test = (located(data, f"{task.name}_{split}.csv") for split in ("train", "test"))
        if train is None or test is None:
            continue
        yield Cell(SUITE, task.name, measure_files, (task.name, train, test))


def rows(scores: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Return a row per task, and the mean over the tasks of SLDBench once all eight are there."""
    out = []
    for task in TASKS:
        if task.name in scores:
            table = scores[task.name]
            value = r2(table)
            out.append(row(SUITE, task.name, "R2", value, table, task.published, task.note))
    if all(name in scores for name in SLDBENCH):
        whole = pd.concat([scores[name].assign(fit=name + scores[name]["fit"]) for name in SLDBENCH])
        mean = float(np.mean([r2(scores[name]) for name in SLDBENCH]))
        out.append(row(SUITE, "mean of the eight of SLDBench", "R2", mean, whole, {HUMAN: 0.517, DISCOVERED: 0.748}))
    return out


def r2(table: pd.DataFrame) -> float:
    """Return the mean R2 over targets."""
    by_target = [metrics.clipped_r2(part["loss"], part["median"]) for _, part in table.groupby("target")]
    return float(np.mean(by_target))
