"""Loading laws: by name, with options, from a user's file; and what is refused, in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest

import bayes_scaling as bs
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
