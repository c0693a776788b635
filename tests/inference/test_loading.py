"""Saved fits that were changed, damaged or written to do harm: nothing in them runs, and nothing wrong is believed."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import pickle
import py_compile
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.inference import loading as _loading
from bayes_scaling.inference.store import digest_of
from bayes_scaling.laws import catalogue
from bayes_scaling.models import power_law
from tests.support import LAW_FILE

EVIL = "from pathlib import Path\nPath(__file__).with_name('it-ran').touch()\n" + LAW_FILE
NAME = "power_law:input=flops,form=pure"

type Content = Any
type Change = Callable[[dict[str, dict[str, np.ndarray]], dict[str, Any]], None]
"""A change of the arrays of a file, by group and name, and of its attributes."""


@pytest.fixture(scope="module")
def saved(grid_runs: bs.Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small and quick fit."""
    path = tmp_path_factory.mktemp("fits") / "fit.nc"
    bs.fit(
        NAME, grid_runs, noise="normal", discrepancy="none", sampler=bs.Sampler("laplace", chains=2, draws=200)
    ).save(path)
    return path


@pytest.fixture(scope="module")
def content(saved: Path) -> Content:
    return _loading._read(saved)


def load(content: Content, change: Change, signed: bool = True, **options: Any) -> bs.Fit:
    """Load a fit whose file was changed, with the digest that fits the change or with the old one."""
    arrays, said = copy.deepcopy((content.arrays, content.said))
    change(arrays, said)
    digest = digest_of(arrays, said) if signed else content.digest
    found = dataclasses.replace(content, arrays=arrays, said=said, digest=digest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_loading, "_read", lambda _: found)
        return bs.load_fit(__file__, **options)


def refusal_of(call: Callable[[], object]) -> str:
    with pytest.raises(bs.errors.FitError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 900, message
    return message


def in_json(attribute: str, change: Callable[[Any], Any]) -> Change:
    """Change what stands in an attribute as JSON, in place or by what is returned."""

    def in_file(_: Any, said: dict[str, Any]) -> None:
        content = json.loads(said[attribute])
        changed = change(content)
        said[attribute] = json.dumps(content if changed is None else changed)

    return in_file


def says(**values: Any) -> Change:
    return in_json("manifest", lambda manifest: manifest.update(values))


# --- code -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["{}", "{}c", "{}:input=tokens", "./{}", "{}:{}"])
def test_a_manifest_never_chooses_what_runs(
    content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    py_compile.compile(str(tmp_path / "evil.py"), cfile=str(tmp_path / "evil.pyc"))
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "evil.py"), "evil.py"):
        of_the_file = hashlib.sha256((tmp_path / "evil.py").read_bytes()).hexdigest()[:16]
        lie = says(law=spelled.replace("{}", name), law_options={}, law_source_sha256=of_the_file)
        message = refusal_of(functools.partial(load, content, lie))
        assert "a saved fit runs no code" in message and message.endswith("give the law again with law=...")
    assert not (tmp_path / "it-ran").exists()
    bs.load_law(tmp_path / "evil.py")
    assert (tmp_path / "it-ran").exists()  # it does where a user says so


def test_a_file_that_names_a_law_file_runs_nothing(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    path = tmp_path / "fit.nc"
    shutil.copy(saved, path)
    with h5py.File(path, "a") as file:
        manifest = json.loads(file.attrs["manifest"])
        file.attrs["manifest"] = json.dumps({**manifest, "law": str(tmp_path / "evil.py"), "law_options": {}})
    assert "was changed since it was saved" in refusal_of(lambda: bs.load_fit(path))
    changed = _loading._read(path)
    with h5py.File(path, "a") as file:
        file.attrs["sha256"] = digest_of(changed.arrays, changed.said)
    assert "fit.nc was fitted with the law file" in refusal_of(lambda: bs.load_fit(path))
    assert not (tmp_path / "it-ran").exists()


def test_a_fit_of_a_law_file_needs_the_file_again(content: Content, tmp_path: Path) -> None:
    text = Path(power_law.__file__).read_text()
    (tmp_path / "mine.py").write_text(text)
    own = bs.load_law(tmp_path / "mine.py", input="flops", form="pure")
    of_own = says(law=str(tmp_path / "mine.py"), law_source_sha256=own.source_hash)
    assert "was fitted with the law file" in refusal_of(lambda: load(content, of_own))
    assert load(content, of_own, law=own).law is own
    (tmp_path / "moved.py").write_bytes(text.replace("\n", "\r\n").encode())
    moved = bs.load_law(tmp_path / "moved.py", input="flops", form="pure")
    assert load(content, of_own, law=moved).law is moved
    for changed, options in (
        (text.replace("power(X_c / X, alpha)", "2 * power(X_c / X, alpha)"), {"input": "flops"}),
        (text, {"input": "params"}),
    ):
        (tmp_path / "changed.py").write_text(changed)
        law = bs.load_law(tmp_path / "changed.py", form="pure", **options)
        message = refusal_of(functools.partial(load, content, of_own, law=law))
        assert "another version of" in message and "fit again, or give the law that was fitted with law=..." in message
    with pytest.raises(bs.errors.ArgumentError, match="expected a Law, as from load_law"):
        load(content, of_own, law="mine.py")


def test_a_relabelled_fit_is_refused(content: Content) -> None:
    for lie in (says(law="chinchilla", law_options={}), says(law_options={"input": "params", "form": "pure"})):
        message = refusal_of(functools.partial(load, content, lie))
        assert "was fitted with another version of" in message and "fit again" in message
    assert "has no option 'colour'" in refusal_of(lambda: load(content, says(law_options={"colour": "red"})))
    signed = says(law="power_law", law_options={}, law_source_sha256=bs.load_law("power_law").source_hash)
    assert "it has the parameters alpha, X_c, sigma, and power_law has" in refusal_of(lambda: load(content, signed))


def test_a_formula_of_the_catalogue_that_changed_is_refused(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_catalogue_text", lambda _: Path(power_law.__file__).read_text() + "# edited")
    assert "was fitted with another version of power_law" in refusal_of(lambda: load(content, lambda *_: None))


def test_a_law_put_together_in_memory_is_known_by_its_formula(content: Content) -> None:
    of_file = bs.load_law(NAME)

    def other(X: Any, alpha: Any, X_c: Any) -> Any:
        return (X_c / X) ** alpha

    changed = dataclasses.replace(of_file, mean=other)
    of_memory = says(law_source_sha256=changed.source_hash)
    assert "another version of power_law" in refusal_of(lambda: load(content, of_memory))
    assert load(content, of_memory, law=changed).law is changed
    with pytest.raises(TypeError, match="is not as load_law gives it"):
        changed.__reduce__()


# --- damage and lies ------------------------------------------------------------------------------------------------


def spoiled(place: str, values: Callable[[np.ndarray], Any]) -> Change:
    group, name = place.split("/")
    return lambda arrays, _: arrays[group].update({name: np.asarray(values(arrays[group][name]))})


def without(place: str) -> Change:
    group, name = place.split("/")

    def in_file(arrays: dict[str, dict[str, np.ndarray]], _: Any) -> None:
        del arrays[group][name]

    return in_file


def first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda old: np.where(np.arange(old.size).reshape(old.shape) == 0, value, old)


def worse_table(content: Any) -> None:
    content["table"]["loss"][0] = -1.0


def other_table(content: Any) -> None:
    content["table"]["loss"][0] *= 1.5


def one_shorter(content: Any) -> None:
    content["table"]["loss"].pop()


ODD = {
    "draws that are not numbers": (spoiled("posterior/alpha", first(np.nan)), "of the 400 draws of alpha are not what"),
    "negative draws": (spoiled("posterior/alpha", lambda old: -old), "400 of the 400 draws of alpha are not what"),
    "scrambled draws": (spoiled("posterior/alpha", lambda old: old[:, ::-1]), "draws of alpha are not what its"),
    "scrambled sigma": (spoiled("posterior/sigma", lambda old: old[::-1]), "draws of sigma are not what its"),
    "infinite coordinates": (spoiled("u/u", first(np.inf)), "unconstrained draws are not finite"),
    "a negative prior": (spoiled("prior/alpha", lambda old: -old), "some prior draws of alpha lie where its prior has"),
    "a prior of no numbers": (spoiled("prior/X_c", first(np.nan)), "some prior draws of X_c are not numbers"),
    "a missing parameter": (without("posterior/alpha"), "its posterior lacks alpha"),
    "a missing prior": (without("prior/alpha"), "its prior lacks alpha"),
    "a missing statistic": (without("sample_stats/diverging"), "its statistics lack diverging"),
    "divergences": (spoiled("sample_stats/diverging", first(1)), "it says that 0 draws diverged, and 1 of its draws"),
    "an impossible table": (in_json("runs", worse_table), "row 1, column loss: -1 is negative"),
    "another table": (in_json("runs", other_table), "its runs are not those that were fitted"),
    "a torn table": (in_json("runs", one_shorter), "columns of its runs differ in length"),
    "a table of nothing": (in_json("runs", lambda c: c.update(table={})), "has no rows"),
    "a table that is text": (in_json("runs", lambda c: c.update(table="x")), "table of its table of runs is 'x'"),
    "draws of another shape": (spoiled("posterior/alpha", lambda old: old[:, 1:]), r"of shape \(2, 199\), not"),
    "coordinates of another shape": (spoiled("u/u", lambda old: old[..., 1:]), "unconstrained draws have the shape"),
    "fewer draws than it holds": (lambda _, said: said.update(drawn=3), "it says that it has 3 draws, and holds 400"),
    "no manifest": (in_json("manifest", lambda _: [1]), r"its manifest is \[1\]"),
    "a law that is a number": (says(law=3), "law of its manifest is 3, expected the name of a law"),
    "a law that is a list": (says(law=["chinchilla"]), "expected the name of a law"),
    "options that are numbers": (says(law_options={"input": 1}), "law_options of its manifest"),
    "another prior": (says(priors={}), "it was fitted with the prior None of"),
    "a prior of no family": (
        says(priors_given={"alpha": {"distribution": "os.system"}}),
        "no distribution 'os.system'",
    ),
    "other parameters": (says(posterior_names=["a"]), "it has the parameters a"),
    "another discrepancy": (says(discrepancy={"kind": "x", "smoothness": 0.5, "scale": 1}), "discrepancy is 'x'"),
    "a discrepancy of text": (says(discrepancy={"kind": "none", "smoothness": "a", "scale": 1}), "discrepancy of its"),
    "another noise": (
        says(noise={"family": "normal", "scale": "huge", "rows": "independent", "rows_per_curve": 12}),
        "noise scale is 'huge'",
    ),
    "fewer rows read than there are": (
        lambda arrays, said: says(runs=json.loads(said["manifest"])["runs"] | {"rows_read": 3})(arrays, said),
        "it says that 3 rows were read",
    ),
    "pooling of nothing": (says(pooling={"omega": {"by": "x", "mode": "partial"}}), "cannot be pooled"),
    "a negative seed": (says(seed=-1), "seed of its manifest is -1"),
    "a seed of text": (says(seed="0"), "seed of its manifest is '0'"),
    "a stray field": (says(run="rm -rf"), "has 'run', which no fit writes"),
    "diagnostics without k-hat": (in_json("diagnostics", lambda d: d.update(k_hat=float("nan"))), "k-hat of its"),
    "diagnostics without BFMI": (in_json("diagnostics", lambda d: d.update(bfmi=float("nan"))), "BFMI of its"),
    "a negative R-hat": (in_json("diagnostics", lambda d: d.update(rhat=-1.0)), "rhat of its diagnostics is -1"),
    "a huge R-hat": (in_json("diagnostics", lambda d: d.update(rhat=10**400)), "rhat of its diagnostics is 1000"),
    "an R-hat of text": (in_json("diagnostics", lambda d: d.update(rhat="1")), "rhat of its diagnostics is '1'"),
    "missing diagnostics": (in_json("diagnostics", lambda d: d.pop("rhat") and d), "its diagnostics lacks rhat"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_no_fit_writes_is_refused_with_and_without_its_digest(content: Content, name: str) -> None:
    change, expected = ODD[name]
    stale = refusal_of(lambda: load(content, change, signed=False))
    assert "was changed since it was saved" in stale and stale.endswith("fit again")
    message = refusal_of(lambda: load(content, change))
    assert re.search(expected, message) and message.endswith("fit again")


def test_missing_parts_are_named(saved: Path, tmp_path: Path) -> None:
    changes: tuple[Callable[[h5py.File], Any], ...] = (
        lambda file: file.__delitem__("posterior"),
        lambda file: file.attrs.__setitem__("drawn", "many"),
    )
    for change in changes:
        path = tmp_path / "hollow.nc"
        shutil.copy(saved, path)
        with h5py.File(path, "a") as file:
            change(file)
        assert "hollow.nc is not a whole fit file" in refusal_of(functools.partial(bs.load_fit, path))


def test_a_file_that_leads_elsewhere_or_claims_too_much_is_refused(saved: Path, tmp_path: Path) -> None:
    def elsewhere(link: Any) -> Callable[[h5py.File], None]:
        def change(file: h5py.File) -> None:
            del file["posterior"]
            file["posterior"] = link

        return change

    def virtual(file: h5py.File) -> None:
        shape = file["posterior/alpha"].shape
        layout = h5py.VirtualLayout(shape=shape, dtype="f8")
        layout[:] = h5py.VirtualSource(str(saved), "posterior/alpha", shape=shape)
        del file["posterior/alpha"]
        file.create_virtual_dataset("posterior/alpha", layout)

    def outside(file: h5py.File) -> None:
        shape = file["posterior/alpha"].shape
        del file["posterior/alpha"]
        raw = [(str(saved), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("posterior/alpha", shape=shape, dtype="f8", external=raw)

    def vast(file: h5py.File) -> None:
        del file["posterior/alpha"]
        file.create_dataset("posterior/alpha", shape=(4, 10**12), dtype="f8", chunks=(1, 1000))

    changes: tuple[tuple[Callable[[h5py.File], Any], str], ...] = (
        (elsewhere(h5py.ExternalLink(str(saved), "posterior")), "posterior is a link to another place"),
        (elsewhere(h5py.SoftLink("/posterior")), "posterior is a link to another place"),
        (lambda file: file["posterior"].__setitem__("again", file["/"]), "its part again is there twice"),
        (virtual, "alpha lies in another file"),
        (outside, "alpha lies in another file"),
        (vast, "it claims 3.2e+13 bytes of arrays"),
    )
    for change, words in changes:
        path = tmp_path / "odd.nc"
        shutil.copy(saved, path)
        with h5py.File(path, "a") as file:
            change(file)
        assert words in refusal_of(functools.partial(bs.load_fit, path))


@pytest.mark.slow
def test_flipped_bits_are_seen_or_do_not_matter(saved: Path, tmp_path: Path) -> None:
    whole, rng, refused = saved.read_bytes(), np.random.default_rng(0), 0
    before = bs.load_fit(saved)
    for place in rng.integers(0, len(whole), 40):
        path = tmp_path / "flipped.nc"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << int(rng.integers(8)))]) + whole[place + 1 :])
        try:
            after = bs.load_fit(path)
        except bs.errors.FitError:
            refused += 1
            continue
        np.testing.assert_array_equal(before.unconstrained, after.unconstrained)
        assert before.manifest == after.manifest
    assert refused > 0


def test_a_fit_can_be_pickled(chinchilla_fit: bs.Fit) -> None:
    assert chinchilla_fit.model  # built by now, and built again there
    there = pickle.loads(pickle.dumps(chinchilla_fit))
    ours, theirs = (bs.forecast(fit, params=7e10, tokens=1.4e12).interval(0.9) for fit in (chinchilla_fit, there))
    np.testing.assert_array_equal(ours, theirs)
    changed = dataclasses.replace(chinchilla_fit, manifest={**chinchilla_fit.manifest, "law_source_sha256": "0" * 16})
    with pytest.raises(bs.errors.FitError, match="pickled with another version of chinchilla"):
        pickle.loads(pickle.dumps(changed))
