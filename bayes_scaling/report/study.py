"""The study file: runs, laws, budget and goal, validated before anything is computed."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.files import text_of
from bayes_scaling.base.messages import shown
from bayes_scaling.base.names import SamplerName
from bayes_scaling.data import datasets
from bayes_scaling.data.runs import Runs
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.errors import REMEDY, Remedy, StudyError
from bayes_scaling.evaluate.candidates import EXACT, FAST, TOGETHER, Candidate, Cut, candidates_of, together
from bayes_scaling.evaluate.defaults import NoiseAsked, default_laws
from bayes_scaling.evaluate.fitting import beside
from bayes_scaling.laws.catalogue import catalogue_law, is_path, load_law, split_label, tried
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import prior_from_spec
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.report.tables import (
    Budget,
    Curve,
    Data,
    Goal,
    Laws,
    Part,
    Pilots,
    Recipes,
    Scores,
    Tuning,
    in_words_of_the_study,
)

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
"""How the runs were made, which the table cannot show; see `bayes_scaling.report.provenance`."""


class Study(Part):
    """A study: everything that a report is computed from.

    Attributes
    ----------
    title : title of the report
    seed : the same study, data and seed give the same numbers
    data, laws, budget, goal, pilots : the tables of the file
    tuning : asks for learning rate and batch size of the plan; without it the report does not say
    trajectory : asks for the loss curve of a run; without it the report has none
    recipes, scores : tables that ask for a section more: recipes compared, and scores of a benchmark; none by default
    given : fixed inputs of a law, such as ``{unique_tokens = 1e9}``, as in `DecisionProblem`
    constraints : ranges and limits by name, as in `Constraints`
    sizes : parameter counts of the models to choose from; any by default
    about : how the runs were made, by field of the checklist
    """

    title: str = pydantic.Field(default="A training run", min_length=1, max_length=200)
    seed: int = pydantic.Field(default=0, ge=0, lt=2**32)
    data: Data
    laws: Laws = Laws()
    budget: Budget
    goal: Goal = Goal()
    given: dict[str, float] = pydantic.Field(default_factory=dict)
    constraints: dict[str, float | tuple[float, float]] = pydantic.Field(default_factory=dict)
    sizes: list[float] | None = pydantic.Field(default=None, min_length=1)
    pilots: Pilots = Pilots()
    tuning: Tuning | None = None
    trajectory: Curve | None = None
    recipes: Recipes | None = None
    scores: Scores | None = None
    about: dict[About, str] = pydantic.Field(default_factory=dict)
    _folder: Path = pydantic.PrivateAttr(default=Path())

    def __init__(self, **content: Any) -> None:
        try:
            super().__init__(**content)
        except pydantic.ValidationError as error:
            raise StudyError(_sentence(error)) from None

    @classmethod
    @validated
    def read(cls, path: FilePath) -> Study:
        """Read a study from a TOML file; paths in it are relative to its folder.

        Raises
        ------
        StudyError
            When the file cannot be read, or for the first error in it, in one sentence.
        """
        path = Path(path)
        try:
            content = tomllib.loads(text_of(path))
        except OSError as error:
            raise StudyError(f"cannot read {path.name}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise StudyError(f"{path.name} is not TOML: {error}") from error
        try:
            study = cls.of(content, path.name)
        except RecursionError:
            raise StudyError(f"{path.name} has tables within tables without end; expected those of a study") from None
        study._folder = path.parent
        return study

    @classmethod
    @validated
    def of(cls, content: Mapping[str, Any], source: str = "the study") -> Study:
        """Check the content of a study file.

        Parameters
        ----------
        content : as TOML gives it
        source : named in messages

        Raises
        ------
        StudyError
            For the first error, in one sentence.
        """
        try:
            study = cls(**content)
        except StudyError as error:
            raise StudyError(f"{source}: {error}") from None
        study.limits()
        return study

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the study names: its table and its law files."""
        tables = [self.data.file, None if self.scores is None else self.scores.file]
        named = [*filter(None, tables), *(name for name in self.laws.names or () if name.endswith(".py"))]
        return tuple(self._folder / name for name in named)

    @property
    def scores_file(self) -> Path:
        """The table of scores, of a study that names one."""
        return self._folder / ("" if self.scores is None else self.scores.file)

    def runs(self) -> Runs:
        """Read the runs.

        Raises
        ------
        StudyError
            When a file does not exist.
        DataError
            When a row is impossible.
        """
        data = self.data
        if data.bundled is not None:
            table = datasets.load(data.bundled)
        else:
            path = self._folder / str(data.file)
            if not path.is_file():
                raise StudyError(
                    f"data.file is {shown(data.file)}, but there is no such file in the folder of the study"
                )
            table = Runs.read(
                path, columns=data.columns, loss_unit=data.loss_unit, params_convention=data.params_convention
            )
        if data.after_warmup is not None:
            table = table.after_warmup(data.after_warmup)
        return table.ends() if data.ends else table

    @validated
    def candidates(self, runs: Runs, draft: bool, run_law_files: bool = False) -> tuple[Candidate, ...]:
        """Return the candidates; a draft has those that may earn weight, and no baselines alongside.

        Parameters
        ----------
        runs, draft : the table, and whether a draft is wanted
        run_law_files : run the law files that the study names

        Raises
        ------
        StudyError
            When the study names a law file, which is code, and nobody said that it may run.
        LawError
            When a law or prior is invalid.
        """
        wanted = self.laws
        names = default_laws(runs) if wanted.names is None else wanted.names
        unused = set(wanted.priors) - {name.partition(":")[0] for name in names}
        if unused:
            raise StudyError(f"laws.priors names {sorted(unused)[0]}, which is not in laws.names")
        sampler: SamplerName = "laplace" if draft else "auto"
        asked = NoiseAsked(wanted.noise, wanted.noise_scale, wanted.noise_rows, wanted.noise_start)
        found: list[Candidate] = []
        for law in [self._law(name, run_law_files) for name in names]:
            member = Candidate(
                law.label,
                law,
                discrepancy=Discrepancy(wanted.discrepancy, along=wanted.discrepancy_along),
                noise=asked.of(law, runs),
                sampler=sampler,
                held_out_sampler=FAST,
            )
            alongside = [one for one in wanted.alongside if one == EXACT or not draft]
            found += [member, *(beside(member, runs) if EXACT in alongside else ())]
            found += [one for one in candidates_of([law], alongside) if not one.weighted]
        if TOGETHER in wanted.alongside and not draft:
            found.append(together([one for one in found if one.weighted]))
        return tuple(found)

    def _law(self, label: str, run_law_files: bool) -> Law:
        """Load a law of the catalogue, or a law file if the user says that it may run."""
        name, _ = split_label(label)
        if not is_path(name):
            return tried(catalogue_law(label), self._priors(label))
        if not run_law_files:
            raise StudyError(
                f"laws.names has {shown(label, 200)}, a law file, which is code and runs only where you say so: "
                f"read it, then add {REMEDY}",
                Remedy("run_law_files", value=True),
            )
        return load_law(self._folder / label, priors=self._priors(label))

    def _priors(self, name: str) -> Any:
        given = self.laws.priors.get(name.partition(":")[0], {})
        return {parameter: prior_from_spec(parameter, spec) for parameter, spec in given.items()} or None

    def cuts(self) -> list[Cut] | None:
        """Return leave-largest-out cuts; None for the default."""
        return [Cut(column, at) for column, values in self.laws.cuts.items() for at in values] or None

    def limits(self) -> Constraints:
        """Return the constraints of a plan.

        Raises
        ------
        StudyError
            For an unknown constraint.
        """
        known = [field.name for field in dataclasses.fields(Constraints)]
        for name in self.constraints:
            if name not in known:
                raise StudyError(f"constraints.{name} is unknown; expected one of {', '.join(known)}")
        with in_words_of_the_study():
            return Constraints(**self.constraints)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return the study as plain values, without defaults."""
        plain: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return plain


def _sentence(error: pydantic.ValidationError) -> str:
    """Return the first error as one sentence."""
    errors = error.errors(include_url=False)
    first = errors[0]
    place = ".".join(str(step) for step in first["loc"] if not str(step).startswith(("function", "tuple", "dict")))
    if first["type"] == "extra_forbidden":
        return f"{place} is unknown; expected one of {', '.join(_known(first['loc'][:-1]))}"
    if first["type"] == "missing":
        table, name = first["loc"][:-1], str(first["loc"][-1])
        unknown = [e["loc"][-1] for e in errors if e["type"] == "extra_forbidden" and e["loc"][:-1] == table]
        near = difflib.get_close_matches(name, map(str, unknown), 1)
        return f"{place} is missing{f', and {near[0]} is unknown: did you mean {name}?' if near else ''}"
    if first["type"] == "value_error":
        return f"{place or 'it'} {first['ctx']['error']}"
    expected = first["msg"].removeprefix("Input should be ").replace("a valid ", "a ")
    return f"{place} is {shown(first['input'])}, expected {expected}"


def _known(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a table of the file may hold."""
    part: Any = Study
    for step in place:
        annotation = part.model_fields[str(step)].annotation
        part = next((one for one in (annotation, *get_args(annotation)) if isinstance(one, type)), part)
    return list(part.model_fields)
