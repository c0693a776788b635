"""The columns of a run table: spellings, mappings, and what must be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_scaling import Runs
from bayes_scaling.data.naming import SPELLINGS
from tests.data.run_tables import table, whole_table
from tests.support import refusal


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_spellings_in_any_case(data: st.DataObject) -> None:
    ours = data.draw(st.sampled_from(list(SPELLINGS)))
    spelling = data.draw(st.sampled_from([ours, *SPELLINGS[ours]]))
    flips = data.draw(st.lists(st.booleans(), min_size=len(spelling), max_size=len(spelling)))
    theirs = "".join(c.upper() if flip else c for c, flip in zip(spelling, flips, strict=True))
    theirs = theirs.replace("_", data.draw(st.sampled_from(["_", " ", "-", "/"])))
    theirs = data.draw(st.sampled_from(["", " ", "\t"])) + theirs + data.draw(st.sampled_from(["", " "]))
    frame = whole_table(4)
    runs = Runs.from_frame(frame.rename(columns={ours: theirs}))
    assert runs.table[ours].tolist() == frame[ours].tolist()
    assert (theirs == ours) == (not runs.notes)
    if theirs != ours:
        assert len(runs.notes) == 1 and runs.notes[0].endswith(f"read as {ours}") and theirs.strip() in runs.notes[0]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("N (non-embed)", "params"),
        ("Parameters [total]", "params"),
        ("D (tokens)", "tokens"),
        ("Val Loss (nats/token)", "loss"),
        ("flops(total)", "flops"),
    ],
)
def test_a_description_in_brackets_is_no_part_of_a_name(name: str, ours: str) -> None:
    frame = whole_table(4)
    assert Runs.from_frame(frame.rename(columns={ours: name})).table[ours].tolist() == frame[ours].tolist()


@pytest.mark.parametrize("name", ["N (M)", "params (millions)", "params (in 1e6)", "params (B)", "params ()"])
def test_a_unit_in_brackets_is_not_passed_over(name: str) -> None:
    runs = Runs.from_frame(table().rename(columns={"params": name}))
    assert "params" not in runs and name in runs


def test_an_id_that_counts_the_rows_of_curves_is_not_the_run() -> None:
    curves = table(params=[1e7, 1e7, 1e8, 1e8], tokens=[1e8, 2e8, 1e8, 2e8], id=range(4), name=["a", "a", "b", "b"])
    runs = Runs.from_frame(curves)
    assert runs.labels == ["a", "a", "b", "b"] and "id" in runs
    assert runs.notes[0] == "column 'name' read as run; 'id' differs in every row and is kept as an extra column"
    families = curves.assign(params=[1e7, 2e7, 1e8, 2e8])
    assert Runs.from_frame(families).labels == ["0", "1", "2", "3"]
    assert Runs.from_frame(curves, columns={"run": "id"}).labels == ["0", "1", "2", "3"]


def test_a_cell_is_named_by_both_names_of_its_column() -> None:
    frame = table(loss=[3, -2.5, 3, 3])
    message = refusal(lambda: Runs.from_frame(frame.rename(columns={"loss": "Val Loss"})))
    assert "row 2, column Val Loss (read as loss): -2.5 is negative" in message
    message = refusal(lambda: Runs.from_frame(frame.rename(columns={"loss": "a\nb"}), columns={"loss": "a\nb"}))
    assert r"row 2, column 'a\nb' (read as loss): -2.5 is negative" in message


def test_two_spellings_of_one_column() -> None:
    frame = table().rename(columns={"loss": "val_loss"}).assign(eval_loss=3.0)
    message = refusal(lambda: Runs.from_frame(frame))
    assert "'val_loss' and 'eval_loss' could both be loss" in message and "columns={'loss': ...}" in message
    runs = Runs.from_frame(frame, columns={"loss": "eval_loss"})
    assert runs.loss.tolist() == [3.0] * 4 and "val_loss" in runs
    assert "'Loss' and 'LOSS' could both be loss" in refusal(
        lambda: Runs.from_frame(table().rename(columns={"loss": "Loss"}).assign(LOSS=3.0))
    )


def test_a_canonical_name_wins_over_other_spellings_and_it_is_said() -> None:
    runs = Runs.from_frame(table(val_loss=9.0))
    assert runs.loss.tolist() == table()["loss"].tolist()
    assert runs.notes[0] == "column 'loss' read as loss; val_loss kept as extra columns"
    assert runs.column("val_loss").tolist() == [9.0] * 4


@pytest.mark.parametrize("nothing", [None, float("nan"), "", " ", "nan"])
def test_an_empty_column_does_not_win_over_a_filled_one(nothing: Any) -> None:
    frame = table().rename(columns={"loss": "test/loss"}).assign(loss=nothing, run=nothing, name=["a", "b", "c", "d"])
    runs = Runs.from_frame(frame)
    assert runs.loss.tolist() == table()["loss"].tolist() and runs.labels == ["a", "b", "c", "d"]
    assert runs.notes[:2] == ("column 'loss' passed over: it holds no number", "column 'test/loss' read as loss")
    assert runs.notes[2] == "column 'run' passed over: it holds no run id" and not any("aside" in n for n in runs.notes)
    message = refusal(lambda: Runs.from_frame(table(loss=nothing, val_loss=nothing)))
    assert "row 1, column loss: the value is missing" in message


def test_only_columns_of_numbers_compete() -> None:
    frame = table(model_size=["small", "small", "medium", "large"]).rename(columns={"params": "n_params"})
    runs = Runs.from_frame(frame)
    assert runs.column("params").tolist() == table()["params"].tolist() and "model_size" in runs
    assert runs.notes[:2] == (
        "column 'model_size' passed over: it holds no number",
        "column 'n_params' read as params",
    )
    written = frame.assign(model_size=["1e7", "2e7", "4e7", "big"])  # numbers as text, one of them spoiled
    assert "'n_params' and 'model_size' could both be params" in refusal(lambda: Runs.from_frame(written))
    alone = frame.drop(columns="n_params").assign(model_size="1B")
    assert "column model_size (read as params): '1B' is not a number" in refusal(lambda: Runs.from_frame(alone))
    letter = table(loss_kind="nll").rename(columns={"loss": "L"})
    assert Runs.from_frame(letter).loss.tolist() == table()["loss"].tolist()


@pytest.mark.parametrize(
    ("ours", "theirs", "rarer"),
    [
        ("tokens", "tokens", "total_tokens"),
        ("tokens", "n_tokens", "total_tokens"),
        ("params", "n_params", "Total Params"),
        ("loss", "val_loss", "final_val_loss"),
        ("loss", "val_loss", "lm_loss"),
    ],
)
def test_a_rarer_spelling_yields_to_a_usual_one(ours: str, theirs: str, rarer: str) -> None:
    frame = table().rename(columns={ours: theirs})
    runs = Runs.from_frame(frame.assign(**{rarer: 7.0}))
    assert runs.column(ours).tolist() == table()[ours].tolist() and runs.column(rarer).tolist() == [7.0] * 4
    kept = f"{rarer} kept as extra columns, since '{theirs}' is more usual for {ours}"
    assert runs.notes[: theirs != ours] == (() if theirs == ours else (kept,))


def test_a_rarer_spelling_of_the_loss_does_not_yield_to_a_letter() -> None:
    frame = table().rename(columns={"loss": "final_val_loss"}).assign(L=[2, 4, 8, 16])
    assert "'final_val_loss' and 'L' could both be loss" in refusal(lambda: Runs.from_frame(frame))


def test_two_rarer_spellings_are_asked_about() -> None:
    frame = table().rename(columns={"tokens": "total_tokens"}).assign(tokens_trained=1e9)
    assert "'total_tokens' and 'tokens_trained' could both be tokens" in refusal(lambda: Runs.from_frame(frame))


def test_of_several_names_for_a_run_the_most_explicit_is_taken() -> None:
    runs = Runs.from_frame(table(name="a", id=[3, 2, 1, 0], run_id=["w", "x", "y", "z"]))
    assert runs.labels == ["w", "x", "y", "z"]
    assert runs.notes[0] == "column 'run_id' read as run"
    assert {"name", "id"} <= set(runs.table)


def test_mapping_replaces_a_column_and_says_so() -> None:
    runs = Runs.from_frame(table(c4=[1.0, 2.0, 3.0, 4.0]), columns={"loss": "c4"})
    assert runs.loss.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert runs.notes[0] == "column 'loss' set aside: 'c4' is read as loss"
    assert "c4" not in runs


def test_mapping_may_swap_columns() -> None:
    frame = table(loss=[3.0, 2, 1, 4], loss_se=[0.1, 0.2, 0.3, 0.4])
    runs = Runs.from_frame(frame, columns={"loss": "loss_se", "loss_se": "loss"})
    assert runs.loss.tolist() == [0.1, 0.2, 0.3, 0.4] and runs.column("loss_se").tolist() == [3, 2, 1, 4]
    assert not any("set aside" in note for note in runs.notes)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"params": "N"}, ["no column 'N' to read as params", "it has params, tokens, loss"]),
        ({"loss": "tokens", "params": "tokens"}, ["reads 'tokens' as loss and as params"]),
        ({"parameters": "params"}, ["names 'parameters'", "canonical columns are params, tokens"]),
        ({"a\nb": "params"}, [r"names 'a\nb'"]),
        ({3: "params"}, ["names 3"]),
        ({"loss": None}, ["no column 'None'"]),
        (["loss"], ["columns is ['loss']", "mapping like {'loss': 'val_loss'}"]),
        ("loss=val_loss", ["columns is 'loss=val_loss'"]),
    ],
)
def test_mappings_that_cannot_be_followed(columns: Any, words: list[str]) -> None:
    message = refusal(lambda: Runs.from_frame(table(), columns=columns))
    for word in words:
        assert word in message


def test_columns_that_must_be_there() -> None:
    message = refusal(lambda: Runs.from_frame(table().drop(columns="loss")))
    assert message == "the table has no loss column (it has params, tokens); map one with columns={'loss': ...}"
    message = refusal(lambda: Runs.from_frame(table()[["loss"]].assign(size="1B")))
    assert "none of params, tokens, flops, steps (it has loss, size); map one with columns={'params': ...}" in message
    (note,) = Runs.from_frame(table()[["loss"]].assign(position=range(1, 1 + len(table())))).notes
    assert note == (
        "no column is read as params, tokens, flops or steps (it has loss, position): map one, unless a law reads a "
        "column of its own"
    )
    many = pd.DataFrame({f"column {i}": [1.0] for i in range(500)})
    assert "and 470 more" in refusal(lambda: Runs.from_frame(many))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"val_bpc": 2.0}, "; val_bpc may be it; map one with"),
        ({"eval/paloma/macro_loss": 3.0, "loss_scale": 4.0}, "; eval/paloma/macro_loss may be it; map one"),
        (
            {"final_train_loss": 2.0, "perplexity": 9.0},
            "; perplexity, final_train_loss may be among them; map one with",
        ),
        ({"loss_kind": "nll", "obj_loss_bits": [1.0, None, 1.2, 1.3]}, "; obj_loss_bits may be it; map one"),
        ({"lossless": "yes"}, "(it has params, tokens, gloss, lossless); map one with"),
    ],
)
def test_columns_that_may_be_the_loss_are_named(columns: dict[str, Any], says: str) -> None:
    frame = table().drop(columns="loss").assign(gloss="x", **columns)
    message = refusal(lambda: Runs.from_frame(frame))
    assert message.startswith("the table has no loss column") and says in message


def test_the_export_of_a_panel_is_explained() -> None:
    panel = pd.DataFrame({"Step": [1, 2], **{f"a - test/loss{end}": [3.0, 2.0] for end in ("", "__MIN", "__MAX")}})
    assert "the table is the export of one panel, a metric with its MIN" in refusal(lambda: Runs.from_frame(panel))
    assert Runs.from_frame(panel, columns={"loss": "a - test/loss"}).loss.tolist() == [3.0, 2.0]


@pytest.mark.parametrize("name", ["params", "tokens", "flops", "steps"])
def test_one_measure_of_size_is_enough(name: str) -> None:
    runs = Runs.from_frame(pd.DataFrame({name: [1e9, 1e10], "loss": [3.0, 2.0]}))
    assert list(runs.table) == [name, "loss"] and runs.notes == () and runs.warnings == ()


def test_doubled_column_names() -> None:
    doubled = pd.concat([table(), table()[["loss"]]], axis="columns")
    assert "two columns named 'loss'" in refusal(lambda: Runs.from_frame(doubled))
    assert "two columns named '1'" in refusal(
        lambda: Runs.from_frame(table().assign(**{"1": 1}).assign(a=1).rename(columns={"a": 1}))
    )


def test_odd_column_names_stay() -> None:
    frame = pd.DataFrame({**table(), 0: 1, ("a", "b"): 2, None: 3, "": 4, "params_dense": 5})
    runs = Runs.from_frame(frame)
    assert list(runs.table) == ["params", "tokens", "flops", "loss", "0", "('a', 'b')", "None", "", "params_dense"]
    levels = pd.concat({"a": table()}, axis="columns")
    assert "column names of 2 levels" in refusal(lambda: Runs.from_frame(levels))
    broken = table().set_axis(pd.Index(["params", "tokens", "\ud800"], dtype=object), axis="columns")
    assert r"'\ud800'" in refusal(lambda: Runs.from_frame(broken))


def test_the_guide_lists_every_spelling() -> None:
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "bring-your-runs.md"
    lines = guide.read_text(encoding="utf-8").splitlines()
    for column, spellings in SPELLINGS.items():
        assert f"| `{column}` | {', '.join(f'`{one}`' for one in spellings)} |" in lines
