"""The front page keeps its word: its example runs, its commands exist, its table of laws is whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate import defaults, fitting
from tests.support import design, fit_exact, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    table = bs.simulate("chinchilla", design(), "besiroglu2024", seed=1).table
    table["dataset"] = np.where(np.arange(len(table)) % 2, "c4", "rpj")
    table.rename(columns={"params": "N", "tokens": "D"}).to_csv(folder / "runs.csv", index=False)
    return folder


@pytest.fixture
def one_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a table of N and D gets four laws, which take minutes from nothing."""
    for module in (fitting, defaults):  # Python asks the one, the command line the other
        monkeypatch.setattr(module, "default_laws", lambda _: ("chinchilla",))


@pytest.mark.usefixtures("one_law")
def test_the_python_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    fitting, planning, comparing = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(fitting, names)
    assert isinstance(names["fit"], bs.Ensemble) and isinstance(names["forecast"], bs.Forecast)
    exec(planning, names)
    assert isinstance(names["plan"], bs.Plan)
    assert isinstance(names["pilots"], bs.PilotPlan)
    # Three laws at three cuts take minutes; tests of comparisons run smaller ones.
    compile(comparing, "README.md", "exec")
    assert all(hasattr(bs, name) for name in re.findall(r"bs\.(\w+)", comparing))


@pytest.mark.slow
@pytest.mark.usefixtures("one_law")
def test_the_commands_run_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    commands = re.findall(r"^    bayes-scaling (.*)$", README, re.MULTILINE)
    names = ["forecast", "check", "fit", "forecast", "plot", "compare", "allocate", "pilot", "report"]
    assert [line.split()[0] for line in commands] == names
    # Comparisons and reports take minutes and have tests of their own.
    for command in (command for command in commands if not command.startswith(("compare", "report"))):
        code, _, err = run(*shlex.split(command))
        assert code == 0, (command, err)


def test_a_newcomer_reads_it_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 150


def test_the_table_of_laws_is_that_of_the_law_files() -> None:
    catalogue = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    after = catalogue.partition("<!-- laws: bayes-scaling laws --markdown -->\n")[2]
    table = after.partition("<!-- end of laws -->")[0]
    code, out, _ = run("laws", "--markdown")
    assert code == 0 and all(f"`{name}`" in out for name in bs.available_laws())
    assert table.strip() == out.strip(), "the table is stale: paste what 'bayes-scaling laws --markdown' prints"


def test_files_that_are_named_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README)
    assert targets and all((ROOT / target).exists() for target in targets if "://" not in target)
    scripts = re.findall(r"uv run (?:--extra \w+ )?python (\S+\.py)", README + MEASURED)
    assert scripts and all((ROOT / script).is_file() for script in scripts)


def test_the_skeleton_of_a_law_is_a_law(tmp_path: Path) -> None:
    skeleton, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_law.py").write_text(skeleton)
    law = bs.load_law(tmp_path / "my_law.py")
    assert law.at("author2026")(params=[1e9]) > 1.7
    runs = bs.simulate(law, bs.grid(params=[1e7, 3e7, 1e8, 3e8, 1e9]), "author2026", seed=0)
    assert fit_exact(law, runs, sampler="laplace").draws.keys() == {"E", "A", "alpha", "sigma", "nu"}
