"""The study file: which runs, which laws, what budget, what is wanted; checked before anything is computed."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import pydantic

from bayes_scaling import Constraints, Cost, Objective, datasets
from bayes_scaling._catalogue import load_law
from bayes_scaling._compare import Candidate, Cut, candidates_of
from bayes_scaling._discrepancy import Discrepancy
from bayes_scaling._errors import StudyError
from bayes_scaling._fit import default_noise
from bayes_scaling._noise import Noise
from bayes_scaling._priors import draw_prior, prior_from_spec
from bayes_scaling._runs import Runs
from bayes_scaling._validation import shown
from bayes_scaling.decide import costs, objectives

type Spec = float | dict[str, Any]
"""A number, or a distribution written as priors are: ``{distribution = "Beta", ...}``."""

About = Literal[
    "architecture",
    "tokeniser",
    "repetition",
    "flop_counting",
    "hyperparameters",
    "learning_rate_schedule",
    "optimiser",
    "evaluation",
    "checkpoints",
    "smoothing",
    "exclusions",
    "points_published",
]
"""What a table cannot say of how its runs were made; see `bayes_scaling.report.provenance`."""


class Part(pydantic.BaseModel):
    """One table of the file; words that it does not know are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Part):
    """``[data]``: where the runs are.

    Attributes
    ----------
    file : table of runs beside the study file (.csv, .parquet, .jsonl)
    bundled : or the name of a table that ships with the package
    columns : canonical name to the file's: ``{params = "n_params"}``
    loss_unit, params_convention : as of `Runs.from_frame`
    ends : keep only the last row of every run
    after_warmup : leave out this first share of every curve
    """

    file: str | None = None
    bundled: str | None = None
    columns: dict[str, str] = {}
    loss_unit: str = "nats/token"
    params_convention: str = "unstated"
    ends: bool = False
    after_warmup: float | None = pydantic.Field(default=None, ge=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.bundled is None):
            raise ValueError("needs either file = 'runs.csv' or bundled = 'stdlib_sweep'")
        return self


class Laws(Part):
    """``[laws]``: what is compared, and how runs scatter.

    Attributes
    ----------
    names : laws, as ``load_law`` takes them
    alone : whether each law is also compared without a discrepancy
    baselines : point fits that are shown beside, ``huber`` and ``squares``
    discrepancy : ``brownian``, or ``none``
    noise, noise_scale, noise_rows : as of `Noise`, or ``auto``
    cuts : leave-largest-out cuts, ``{flops = [1e20, 1e21]}``; by default a 3rd, a 10th and a 30th of the largest run
    priors : by law and parameter, ``[laws.priors.chinchilla]``
    """

    names: list[str] = pydantic.Field(default=["chinchilla", "kaplan_joint"], min_length=1)
    alone: bool = True
    baselines: list[Literal["huber", "squares"]] = ["huber"]
    discrepancy: Literal["brownian", "none"] = "brownian"
    noise: Literal["auto", "student_t", "normal"] = "auto"
    noise_scale: Literal["constant", "known", "growing"] = "constant"
    noise_rows: Literal["auto", "independent", "correlated"] = "auto"
    cuts: dict[str, list[float]] = {}
    priors: dict[str, dict[str, dict[str, Any]]] = {}


class Budget(Part):
    """``[budget]``: what can be spent, and how spending is counted.

    Attributes
    ----------
    amount : in the unit of the cost
    counted_in : ``flops``, ``gpu_hours``, ``money``, or ``lifetime`` (FLOPs of training and serving)
    peak_flops, utilisation, price_per_gpu_hour, serving_tokens, currency, quantile : as of `gpu_hours`, `money` and
        `lifetime`; uncertain numbers may be distributions
    """

    amount: float = pydantic.Field(gt=0)
    counted_in: Literal["flops", "gpu_hours", "money", "lifetime"] = "flops"
    peak_flops: float | None = pydantic.Field(default=None, gt=0)
    utilisation: Spec | None = None
    price_per_gpu_hour: Spec | None = None
    serving_tokens: Spec = 0.0
    currency: str = "USD"
    quantile: float = pydantic.Field(default=0.5, gt=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _has_prices(self) -> Self:
        hours, money = self.counted_in in ("gpu_hours", "money"), self.counted_in == "money"
        for name, wanted in (("peak_flops", hours), ("utilisation", hours), ("price_per_gpu_hour", money)):
            if wanted and getattr(self, name) is None:
                raise ValueError(f"is counted in {self.counted_in}, which needs {name}")
            if not wanted and getattr(self, name) is not None:
                raise ValueError(f"is counted in {self.counted_in}, which does not read {name}")
        if self.counted_in == "lifetime" and self.serving_tokens == 0.0:
            raise ValueError("is counted over a lifetime, which needs serving_tokens")
        if self.counted_in == "flops" and self.serving_tokens != 0.0:
            raise ValueError("is counted in flops of training; write counted_in = 'lifetime' to add serving_tokens")
        return self

    def cost(self, *, dearer: float = 1.0, busier: float = 1.0) -> Cost:
        """Return the cost, or what it would be at another price or utilisation.

        Parameters
        ----------
        dearer, busier : factors on the price of an hour and on the utilisation
        """
        served, quantile = uncertain("serving_tokens", self.serving_tokens), self.quantile
        if self.counted_in == "flops":
            return costs.flops()
        if self.counted_in == "lifetime":
            return costs.lifetime(served, quantile=quantile)
        peak, utilisation = self.peak_flops or 0.0, scaled("utilisation", self.utilisation, busier)
        if self.counted_in == "gpu_hours":
            return costs.gpu_hours(peak, utilisation, serving_tokens=served, quantile=quantile)
        price = scaled("price_per_gpu_hour", self.price_per_gpu_hour, dearer)
        return costs.money(peak, utilisation, price, serving_tokens=served, currency=self.currency, quantile=quantile)


class Goal(Part):
    """``[goal]``: what a run is measured against, and what a plan optimises.

    Attributes
    ----------
    incumbent : loss to beat; the best of the table by default
    target : loss that is wanted
    objective : name of an objective of the package
    worst, weight, probability : its arguments, where it takes them
    """

    incumbent: float | None = pydantic.Field(default=None, gt=0)
    target: float | None = pydantic.Field(default=None, gt=0)
    objective: Literal[
        "expected_improvement", "expected_loss", "probability_of_target", "cvar", "loss_quantile", "mean_and_cvar"
    ] = "expected_improvement"
    worst: float = pydantic.Field(default=0.05, gt=0, lt=1)
    weight: float = pydantic.Field(default=1.0, ge=0)
    probability: float = pydantic.Field(default=0.9, gt=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _has_target(self) -> Self:
        if self.objective == "probability_of_target" and self.target is None:
            raise ValueError("optimises the probability of a target, which needs target")
        return self

    def chosen(self) -> Objective:
        """Return the objective."""
        match self.objective:
            case "cvar":
                return objectives.cvar(self.worst)
            case "loss_quantile":
                return objectives.loss_quantile(self.probability)
            case "mean_and_cvar":
                return objectives.mean_and_cvar(self.weight, self.worst)
            case "expected_loss":
                return objectives.expected_loss()
            case "probability_of_target":
                return objectives.probability_of_target()
        return objectives.expected_improvement()


class Pilots(Part):
    """``[pilots]``: small runs on offer before the big one.

    Attributes
    ----------
    budget : the most that they may cost, in the unit of the budget; a twentieth of it by default
    params, tokens : ranges of what is offered; by default from the middle of the table to its largest
    copies : how often one of them may be run
    """

    budget: float | None = pydantic.Field(default=None, gt=0)
    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    copies: int = pydantic.Field(default=4, ge=1)


class Study(Part):
    """A study: everything that a report is made from.

    Attributes
    ----------
    title : of the report
    seed : the same study, data and seed give the same numbers
    data, laws, budget, goal, pilots : the tables of the file
    given : inputs of a law that are fixed, such as ``{unique_tokens = 1e9}``, as of `allocate`
    constraints : ranges and limits by name, as of `Constraints`
    sizes : parameter counts that really exist; any by default
    about : what the table cannot say of how the runs were made, by field of the checklist
    """

    title: str = pydantic.Field(default="A training run", min_length=1, max_length=200)
    seed: int = pydantic.Field(default=0, ge=0)
    data: Data
    laws: Laws = Laws()
    budget: Budget
    goal: Goal = Goal()
    given: dict[str, float] = {}
    constraints: dict[str, float | tuple[float, float]] = {}
    sizes: list[float] | None = pydantic.Field(default=None, min_length=1)
    pilots: Pilots = Pilots()
    about: dict[About, str] = {}
    _folder: Path = pydantic.PrivateAttr(default=Path())

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Read a study from a TOML file; paths in it are relative to it.

        Raises
        ------
        StudyError
            In one sentence, for a file that cannot be read and for the first thing in it that is wrong.
        """
        path = Path(path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise StudyError(f"cannot read {path.name}: {error.strerror or error}") from error
        except ValueError as error:
            raise StudyError(f"{path.name} is not TOML: {error}") from error
        study = cls.of(content, path.name)
        study._folder = path.parent
        return study

    @classmethod
    def of(cls, content: Mapping[str, Any], source: str = "the study") -> Study:
        """Check the content of a study file.

        Parameters
        ----------
        content : as TOML gives it
        source : named in messages

        Raises
        ------
        StudyError
            In one sentence, for the first thing that is wrong.
        """
        try:
            study = cls.model_validate(dict(content))
        except pydantic.ValidationError as error:
            raise StudyError(f"{source}: {_sentence(error)}") from None
        study.limits()
        return study

    def runs(self) -> Runs:
        """Read the runs.

        Raises
        ------
        StudyError
            When a file is not there.
        DataError
            When a row is impossible.
        """
        data = self.data
        if data.bundled is not None:
            table = datasets.load(data.bundled)
        else:
            path = self._folder / str(data.file)
            if not path.is_file():
                raise StudyError(f"data.file is {shown(data.file)}, but there is no such file beside the study")
            table = Runs.read(
                path, columns=data.columns, loss_unit=data.loss_unit, params_convention=data.params_convention
            )
        if data.after_warmup is not None:
            table = table.after_warmup(data.after_warmup)
        return table.ends() if data.ends else table

    def candidates(self, runs: Runs, draft: bool) -> tuple[Candidate, ...]:
        """Return what is compared; a draft leaves out baselines and laws without discrepancy.

        Raises
        ------
        LawError
            When a law or prior is not what it should be.
        """
        wanted = self.laws
        unused = set(wanted.priors) - {name.partition(":")[0] for name in wanted.names}
        if unused:
            raise StudyError(f"laws.priors names {sorted(unused)[0]}, which is none of laws.names")
        laws = [load_law(self._law_file(name), priors=self._priors(name)) for name in wanted.names]
        found = candidates_of(
            laws, baselines=() if draft else wanted.baselines, alone=not draft and wanted.alone and self._departs
        )
        noise, sampler = self.noise(runs), "laplace" if draft else "auto"
        return tuple(
            dataclasses.replace(one, noise=noise, discrepancy=self._discrepancy(one), sampler=sampler)
            if one.weighted
            else one
            for one in found
        )

    @property
    def _departs(self) -> bool:
        return self.laws.discrepancy != "none"

    def _discrepancy(self, candidate: Candidate) -> Discrepancy:
        return candidate.discrepancy or Discrepancy(self.laws.discrepancy)

    def _law_file(self, name: str) -> str | Path:
        return self._folder / name if name.endswith(".py") else name

    def _priors(self, name: str) -> Any:
        given = self.laws.priors.get(name.partition(":")[0], {})
        return {parameter: prior_from_spec(parameter, spec) for parameter, spec in given.items()} or None

    def noise(self, runs: Runs) -> Noise:
        """Return how runs scatter."""
        usual, wanted = default_noise(runs), self.laws
        rows = usual.rows if wanted.noise_rows == "auto" else wanted.noise_rows
        by_rows = "normal" if rows == "correlated" else "student_t"
        return Noise(by_rows if wanted.noise == "auto" else wanted.noise, wanted.noise_scale, rows)

    def cuts(self) -> list[Cut] | None:
        """Return leave-largest-out cuts; None for the default."""
        return [Cut(column, at) for column, values in self.laws.cuts.items() for at in values] or None

    def limits(self) -> Constraints:
        """Return what a plan must keep to.

        Raises
        ------
        StudyError
            For a constraint that there is not.
        """
        known = [field.name for field in dataclasses.fields(Constraints)]
        for name in self.constraints:
            if name not in known:
                raise StudyError(f"constraints.{name} is not known; there is {', '.join(known)}")
        return Constraints(**self.constraints)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return what was asked as plain values, without what was left at its default."""
        plain: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return plain


def uncertain(name: str, given: Spec | None) -> Any:
    """Return a number as it is, a written distribution as one."""
    return prior_from_spec(name, given) if isinstance(given, dict) else given


def scaled(name: str, given: Spec | None, factor: float) -> Any:
    """Return a number times a factor; of a distribution, draws of it times the factor."""
    value = uncertain(name, given)
    if factor == 1.0 or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) * factor
    return np.asarray(draw_prior(value, np.random.default_rng(0), costs.DRAWS)) * factor


def _sentence(error: pydantic.ValidationError) -> str:
    """Say in one sentence what is wrong first."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"] if not str(step).startswith(("function", "tuple", "dict")))
    if first["type"] == "extra_forbidden":
        return f"{place} is not known; there is {', '.join(_known(first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{place} is missing"
    if first["type"] == "value_error":
        return f"{place or 'it'} {first['ctx']['error']}"
    said = first["msg"].removeprefix("Input should be ").replace("a valid ", "a ")
    return f"{place} is {shown(first['input'])}, expected {said}"


def _known(place: tuple[int | str, ...]) -> list[str]:
    """Return the words that a table of the file may hold."""
    part: Any = Study
    for step in place:
        annotation = part.model_fields[str(step)].annotation
        part = next((one for one in (annotation, *get_args(annotation)) if isinstance(one, type)), part)
    return list(part.model_fields)
