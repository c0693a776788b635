"""Loading laws: by name, with options, from a user's file; and what is refused, in one line."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import bayes_scaling as bs
from bayes_scaling.laws.catalogue import catalogue_law
from bayes_scaling.laws.source import source_of
from tests.support import LAW_FILE, fit_exact


def write(tmp_path: Path, text: str, name: str = "mine.py") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_users_file_works_like_ours(tmp_path: Path) -> None:
    law = bs.load_law(write(tmp_path, LAW_FILE))
    assert law.parameter_names == ("E", "alpha", "A") and law.inputs == ("params",)
    assert bs.load_law(str(tmp_path / "mine.py")).mean is law.mean
    runs = bs.simulate(law, bs.grid(params=np.logspace(7, 10, 16)), {"E": 1.5, "alpha": 0.3, "A": 300.0}, seed=0)
    assert fit_exact(law, runs, sampler="laplace").law.origin.name == str(tmp_path / "mine.py")


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    import os

    path = write(tmp_path, LAW_FILE)
    before = bs.load_law(path)
    path.write_text(LAW_FILE.replace("E + A * power", "E + 2 * A * power"))
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))
    after = bs.load_law(path)
    constants = {"E": 1.0, "alpha": 0.5, "A": 10.0}
    assert after.evaluate(constants, params=[100.0])[0] == pytest.approx(3.0)
    assert before.evaluate(constants, params=[100.0])[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "def mean(params, E, A, alpha)",
            "def mean(params, E, A, alpha, gamma)",
            "argument 'gamma' of its mean is neither a parameter",
        ),
        ("def mean(params, E, A, alpha)", "def mean(width, E, A, alpha)", "argument 'width'"),
        ('Parameter("E", dist.LogNormal(0.0, 0.3)', 'Parameter("E", None', "the prior of E is None"),
        ("dist.LogNormal(0.0, 0.3), unit", "0.3, unit", "the prior of E is 0.3"),
        ("return E + A * power(params, -alpha)", "return (E + A * power(params, -alpha)).sum()", "shape ()"),
        ("return E + A * power(params, -alpha)", "return E + A * power(-params, -alpha)", "is nan"),
        (
            "return E + A * power(params, -alpha)",
            "return -E - A * power(params, -alpha)",
            "must be finite and positive",
        ),
        ("return E + A * power(params, -alpha)", "return undefined_name", "NameError"),
        ('meaning="floor"', 'meaning=""', "parameter E has no meaning"),
        ('source="guess"', 'source=""', "has no source"),
        ('quantity="term / loss"', 'quantity=""', "no word for its quantity"),
        ("value=lambda draw, at, alpha", "value=lambda draw, at, alpha, beta", "needs beta"),
        ('decreasing_in=("params",)', 'decreasing_in=("tokens",)', "'tokens', which is not one of its inputs"),
        ('Parameter("alpha"', 'Parameter("E"', "lists parameter E twice"),
        ("LAW = Law(", "OTHER = Law(", "neither LAW nor a function law()"),
        ("LAW = Law(", "LAW = dict(", "gives dict, not a bayes_scaling.Law"),
        ("def mean", "def mean(", "cannot be imported: SyntaxError"),
        ("import numpyro.distributions", "import nowhere_to_be_found", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in LAW_FILE
    with pytest.raises(bs.errors.LawError) as caught:
        bs.load_law(write(tmp_path, LAW_FILE.replace(old, new)))
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("chinchila", "no law is called 'chinchila'; did you mean chinchilla"),
        ("nowhere/law.py", "is not a file"),
        ("power_law:input=width", "input=flops|params|tokens"),
        ("power_law:colour=red", "no option 'colour'"),
        ("power_law:input", "expected name:key=value"),
        ("chinchilla:input=params", "takes no options"),
        ("power_law:input=tokens,input=flops", "give input twice; give each once"),
        ("../../etc/passwd", "a law file is Python code, and its name ends with .py"),
        ("/etc/passwd:input=tokens", "its name ends with .py"),
        ("nowhere/law.pyc", "its name ends with .py"),
        ("models\\law", "its name ends with .py"),
        ("_kaplan", "no law is called '_kaplan'"),
    ],
)
def test_a_wrong_name_is_explained(name: str, says: str) -> None:
    with pytest.raises(bs.errors.LawError) as caught:
        bs.load_law(name)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_options_by_keyword_and_by_spelling_are_the_same() -> None:
    assert (
        bs.load_law("power_law:input=tokens,form=pure").label
        == bs.load_law("power_law", form="pure", input="tokens").label
    )


def test_priors_can_be_replaced_by_name() -> None:
    law = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(-1.0, 0.01)})
    assert law.overridden == ("alpha",)
    assert {row.name: row.source for row in law.sampled}["alpha"] == "given by the user"
    with pytest.raises(bs.errors.LawError, match="has no prior on gamma; it has priors on L_0, E, alpha"):
        bs.load_law("chinchilla", priors={"gamma": dist.Normal(0, 1)})
    with pytest.raises(bs.errors.ArgumentError, match=r"priors\['alpha'\] is 0.3 \(float\); expected a numpyro"):
        bs.load_law("chinchilla", priors={"alpha": 0.3})  # type: ignore[dict-item]


def test_inputs_of_a_law_are_numbers_or_columns_of_one_length() -> None:
    law, constants = bs.load_law("annealing"), {"E": 2.0, "A": 1.0, "alpha": 0.5, "C": 10.0}
    steps = [100, 200, 300]
    same = law.evaluate(constants, steps=steps, learning_rate=[1e-3] * 3)
    np.testing.assert_array_equal(law.evaluate(constants, steps=steps, learning_rate=1e-3), same)
    of_each = law.evaluate(constants, steps=300, learning_rate=[1e-3, 2e-3], run=[0, 1])
    alone = [law.evaluate(constants, steps=300, learning_rate=rate) for rate in (1e-3, 2e-3)]
    np.testing.assert_array_equal(of_each, np.concatenate(alone))
    chinchilla = bs.load_law("chinchilla").at("besiroglu2024")
    assert chinchilla(params=7e10, tokens=1.4e12).shape == ()
    assert chinchilla(params=[7e10, 1e9], tokens=1.4e12).shape == (2,)
    with pytest.raises(
        bs.errors.LawError, match=r"params of shape \(2,\), tokens of shape \(3,\); expected arrays of one length"
    ):
        chinchilla(params=[7e10, 1e9], tokens=[1e9, 1e10, 1e11])


def test_published_sets_are_asked_by_name() -> None:
    law = bs.load_law("chinchilla")
    assert law.at("besiroglu2024")(params=7e10, tokens=1.4e12) == pytest.approx(1.974, abs=5e-4)
    with pytest.raises(bs.errors.LawError, match="no published constants 'kaplan'; it has: hoffmann2022"):
        law.at("kaplan")
    with pytest.raises(bs.errors.LawError, match="needs tokens"):
        law.at("besiroglu2024")(params=7e10)
    with pytest.raises(bs.errors.LawError, match="does not take flops"):
        law.at("besiroglu2024")(params=7e10, tokens=1e12, flops=1e20)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('meaning="exponent", role="power"', "parameter alpha has role 'power'; choose level, irreducible, exponent"),
        ('meaning="exponent", role="irreducible"', "law mine calls both E and alpha irreducible; only one can be"),
    ],
)
def test_a_role_that_does_not_fit_is_refused(tmp_path: Path, row: str, says: str) -> None:
    text = LAW_FILE.replace('meaning="floor"', 'meaning="floor", role="irreducible"').replace('meaning="exponent"', row)
    with pytest.raises(bs.errors.LawError, match=says):
        bs.load_law(write(tmp_path, text))


def test_roles_say_what_the_parameters_of_a_law_are(tmp_path: Path) -> None:
    law = bs.load_law("chinchilla")
    assert law.exponents == ("alpha", "beta")
    assert law.irreducible is not None and law.irreducible.name == "E"
    assert bs.load_law("kaplan_joint").irreducible is None
    plain = bs.load_law(write(tmp_path, LAW_FILE))
    assert plain.exponents == () and plain.irreducible is None


def test_a_name_in_a_file_finds_only_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "from pathlib import Path\nPath(__file__).with_name('it-ran').touch()\n" + LAW_FILE)
    monkeypatch.chdir(tmp_path)
    for name in ("mine.py", "./mine.py", str(tmp_path / "mine.py"), "mine.py:input=tokens", "mine", "..mine", "os"):
        with pytest.raises(bs.errors.LawError, match="no law is called"):
            catalogue_law(name)
    assert not (tmp_path / "it-ran").exists()
    assert catalogue_law("power_law", {"input": "tokens"}).label == catalogue_law("power_law:input=tokens").label


def test_what_runs_is_the_text_that_is_hashed(tmp_path: Path) -> None:
    path = write(tmp_path, LAW_FILE)
    before = bs.load_law(path)
    path.write_text(LAW_FILE.replace("E + A * power", "E + 2 * A * power"))
    assert before.source_hash != bs.load_law(path).source_hash  # within the resolution of the file system's clock, too
    assert not list(tmp_path.glob("__pycache__"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(bs.errors.LawError, match="mine.py cannot be read as Python text"):
        bs.load_law(path)


def test_modules_that_a_law_imports_from_its_surroundings_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LAW_FILE.replace("from bayes_scaling.laws", "from own_helper_of_laws import ONE\nfrom bayes_scaling.laws")
    hashes = []
    for place, value in (("a", "1.0"), ("b", "2.0"), ("c", "1.0")):
        (tmp_path / place).mkdir()
        monkeypatch.syspath_prepend(tmp_path / place)
        write(tmp_path / place, f"ONE = {value}", "own_helper_of_laws.py")
        monkeypatch.delitem(sys.modules, "own_helper_of_laws", raising=False)
        hashes.append(bs.load_law(write(tmp_path / place, text)).source_hash)
    assert hashes[0] == hashes[2] != hashes[1]
    sys.modules.pop("own_helper_of_laws")
    kaplan = bs.load_law("kaplan_trajectory")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "# another helper")
    source_of.cache_clear()
    assert bs.load_law("kaplan_trajectory").source_hash != kaplan.source_hash


def test_laws_put_together_in_memory_are_known_by_what_they_compute() -> None:
    law = bs.load_law("chinchilla")
    scale = 1.0

    def twice(params: object, tokens: object, E: float, A: float, B: float, alpha: float, beta: float) -> float:
        return scale * E

    def made() -> bs.laws.Law:
        return dataclasses.replace(law, mean=twice)

    assert made().source_hash == made().source_hash != law.source_hash
    assert dataclasses.replace(law, title="only words").source_hash == law.source_hash
    assert law.with_priors({"alpha": dist.LogNormal(-1.0, 0.1)}).source_hash == law.source_hash
    for other in ({"reads": {"params": "flops"}}, {"parameters": law.parameters[:-1]}, {"quantities": ()}):
        assert dataclasses.replace(law, **other).source_hash not in (law.source_hash, made().source_hash)
    before = made().source_hash
    scale = 2.0  # what a function closes over belongs to it
    assert made().source_hash != before
    at_a_prompt: dict[str, Any] = {}
    exec("def mean(params, tokens, E, A, B, alpha, beta):\n    return E + (lambda x: x)(A)", at_a_prompt)
    hashes = {dataclasses.replace(law, mean=one).source_hash for one in (at_a_prompt["mean"], twice, jax.jit(twice))}
    assert len(hashes) == 2


def test_a_law_is_short_to_read_and_a_key() -> None:
    law = bs.load_law("chinchilla")
    assert repr(law) == "<Law chinchilla: L(N, D) = E + A / N^alpha + B / D^beta>"
    other = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(-1.0, 0.1)})
    assert repr(other).endswith(" with priors of alpha>")
    assert {law: "usual", other: "other"}[bs.load_law("chinchilla")] == "usual"
