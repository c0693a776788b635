"""Ensembles as netCDF files, written whole or not at all: every law as a fit is saved, with its draws and weight."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from bayes_scaling.base.messages import listed
from bayes_scaling.errors import Remedy
from bayes_scaling.inference.loading import Content, believed, fit_of, json_of, opened, refuse_changed, values_of
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.store import ENSEMBLE, digest_of, to_lean_datatree, write_tree
from bayes_scaling.inference.validity import ENSEMBLE as FIELDS
from bayes_scaling.inference.validity import Unbelievable, refuse_odd_fields
from bayes_scaling.laws.law import Law
from bayes_scaling.model.noise import Noise
from bayes_scaling.predict.evidence import Evidence

GIVE_LAWS = Remedy("laws", value="files")


@dataclasses.dataclass(frozen=True, eq=False)
class Saved:
    """What an ensemble is read back from.

    Attributes
    ----------
    fits, weights : by label
    draws : by label, (n_draw,) which draws of the fit are used
    seed, group : of the paths and the noise; of pooled fits
    evidence : why each law has its weight
    taken : whether the draws were chosen by `Ensemble.take`; a file says so only where they were
    """

    fits: Mapping[str, Fit]
    weights: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    seed: int
    group: Mapping[str, str]
    evidence: Evidence | None
    taken: bool = False


def save_ensemble(saved: Saved, path: Path) -> None:
    """Write an ensemble to ``path``; errors as of `write_tree`."""
    write_tree(lambda: _tree_of(saved), path, ENSEMBLE)


def load_ensemble(path: Path, laws: Sequence[Law], noise: Noise | None) -> Saved:
    """Read what `save_ensemble` wrote; arguments and errors as of `Ensemble.load`."""
    with believed(path):
        with opened(path, ENSEMBLE) as tree:
            said = {"ensemble": str(tree.attrs["ensemble"])}
            count = range(len(json_of(said, "ensemble")["labels"]))
            contents = [Content.of(tree[f"member_{i}"]) for i in count]
            draws = [values_of(tree[f"draws_{i}"]["draws"]) for i in count]
            digest = str(tree.attrs["sha256"])
        refuse_changed(path, _digest(said["ensemble"], draws, [one.digest for one in contents]), digest)
        content = {"taken": False, **json_of(said, "ensemble")}
        refuse_odd_fields("ensemble", content, FIELDS)
        fits = [fit_of(one, path, _own(one, laws), noise, GIVE_LAWS) for one in contents]
        _refuse_contradictions(content, fits, draws)
        labels = content["labels"]
        return Saved(
            fits=dict(zip(labels, fits, strict=True)),
            weights={name: float(weight) for name, weight in zip(labels, content["weights"], strict=True)},
            draws=dict(zip(labels, draws, strict=True)),
            seed=content["seed"],
            group=content["group"],
            evidence=None if content["evidence"] is None else Evidence.from_dict(content["evidence"]),
            taken=content["taken"],
        )


def holds_ensemble(path: Path) -> bool:
    """Say whether a file holds an ensemble; a file that cannot be read does not."""
    odd = (OSError, RuntimeError, TypeError, ValueError)  # an attribute may be of any kind, or of none that is known
    with contextlib.suppress(*odd):
        if path.is_file():  # a pipe would be waited for
            with h5py.File(path) as file:
                creator = file.attrs.get("created_by")
                return isinstance(creator, str) and creator == ENSEMBLE.magic
    return False


def _tree_of(saved: Saved) -> xr.DataTree:
    said = json.dumps(
        {
            "labels": list(saved.fits),
            "weights": [float(saved.weights[name]) for name in saved.fits],
            "seed": saved.seed,
            "group": dict(saved.group),
            "evidence": None if saved.evidence is None else saved.evidence.to_dict(),
            **({"taken": True} if saved.taken else {}),
        }
    )
    trees = [to_lean_datatree(fit) for fit in saved.fits.values()]
    draws = [np.asarray(saved.draws[name], np.int64) for name in saved.fits]
    tree = xr.DataTree()
    for i, (member, chosen) in enumerate(zip(trees, draws, strict=True)):
        tree[f"member_{i}"] = member
        tree[f"draws_{i}"] = xr.DataTree(xr.Dataset({"draws": ("kept", chosen)}))
    digest = _digest(said, draws, [str(member.attrs["sha256"]) for member in trees])
    tree.attrs = {"created_by": ENSEMBLE.magic, "format": ENSEMBLE.format, "ensemble": said, "sha256": digest}
    return tree


def _digest(said: str, draws: Sequence[np.ndarray], members: Sequence[str]) -> str:
    """Return the digest of an ensemble; those of its fits stand for them."""
    arrays = {"draws": {str(i): chosen for i, chosen in enumerate(draws)}}
    return digest_of(arrays, {"ensemble": said, "members": list(members)})


def _own(content: Content, laws: Sequence[Law]) -> Law | None:
    """Return the law, among those given, that a fit in a file was made with."""
    manifest = json_of(content.said, "manifest")
    fitted = manifest.get("law_source_sha256") if isinstance(manifest, dict) else None
    return next((law for law in laws if law.source_hash == fitted), None)


def _refuse_contradictions(content: Mapping[str, Any], fits: Sequence[Fit], draws: Sequence[np.ndarray]) -> None:
    """Refuse parts that do not belong together."""
    for problem in _contradictions(content, fits, draws):
        raise Unbelievable(problem)


def _contradictions(content: Mapping[str, Any], fits: Sequence[Fit], draws: Sequence[np.ndarray]) -> Iterator[str]:
    labels, weights = content["labels"], content["weights"]
    if not labels or len(set(labels)) < len(labels) or len(weights) != len(labels):
        yield f"it has the laws {listed(labels)} with {len(weights)} weights"
    if not all(0 < weight <= 1 for weight in weights) or sum(weights) > 1 + 1e-6:
        yield "its weights are not shares of one"
    for name, fit, chosen in zip(labels, fits, draws, strict=True):
        count = int(np.prod(fit.unconstrained.shape[:2]))
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not chosen.size:
            yield f"the draws of {name} are no list of numbers"
        elif chosen.min() < 0 or chosen.max() >= count:
            yield f"it uses draw {int(chosen.max())} of {name}, which has {count}"
    if len({fit.runs.content_hash for fit in fits}) > 1:
        yield "its laws were fitted to different runs"
