"""Files of runs: what is read, bit for bit, and how every unreadable file is refused in one line."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_scaling import Runs
from bayes_scaling.data.reading import read_csv, read_json_lines, read_parquet, read_table
from bayes_scaling.errors import DataError
from tests.support import refusal

GOOD = "params,tokens,loss\n1e6,1e8,3.1\n2e6,2e8,2.9\n"


def written(folder: Path, content: str | bytes, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


# --- CSV ---


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.rstrip("\n"),
        "\n" + GOOD.replace("\n", "\n\n") + "  \n",
        GOOD.replace(",", " , "),
        GOOD.replace("3.1", '"3.1"'),
        GOOD.replace("\n", ",,\n"),  # as spreadsheets leave empty columns
    ],
    ids=["plain", "BOM", "CRLF", "CR", "no last newline", "blank lines", "blanks", "quotes", "empty columns"],
)
def test_csv_variants_read_alike(folder: Path, content: str) -> None:
    frame = read_csv(written(folder, content))
    assert list(frame) == ["params", "tokens", "loss"]
    assert frame.to_numpy().tolist() == [[1e6, 1e8, 3.1], [2e6, 2e8, 2.9]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["runs.csv is empty"]),
        (" \n\n \n", ["runs.csv is blank"]),
        ('""\n" "\n', ["runs.csv is blank"]),
        (",,\n1,2,3\n", ["no header", "',,'"]),
        (bytes(range(256)), ["line 2", "byte 0x80 is not UTF-8"]),
        (b"\x00\x01\x02", ["line 1", "NUL", "not a CSV"]),
        ("params,loss,caf\u00e9\n1e6,3,x\n".encode("latin-1"), ["line 1", "byte 0xe9", "save the file as UTF-8"]),
        ("params,loss,tag\n1e6,3,x\n2e6,3,\u00e9\n".encode("latin-1"), ["line 3", "byte 0xe9"]),
        (GOOD.encode("utf-16"), ["UTF-16"]),
        (b"PAR1....", ["looks like a Parquet file"]),
        (b"PK\x03\x04....", ["Excel"]),
        (b"\x1f\x8b....", ["gzip"]),
        (GOOD.replace(",", ";"), ["seems to be separated by ';'", "'params;tokens;loss'", "commas"]),
        ("params;loss\n1e6;3,1\n", ["seems to be separated by ';'", "decimal mark"]),
        (GOOD.replace(",", "\t"), ["seems to be separated by tabs", "let its name end in .tsv"]),
        (GOOD.replace(",", "|"), ["seems to be separated by '|'"]),
        (GOOD.replace(",", "   "), ["seems to be separated by spaces"]),
        ("1e6,1e8,3.1\n2e6,2e8,2.9\n", ["no header", "1e6,1e8,3.1"]),
        (GOOD + "3e6,3e8\n", ["row 3 (line 4)", "2 cell(s)", "header has 3"]),
        (GOOD + "\n\n3e6,3e8,2.8,7\n", ["row 3 (line 6)", "4 cell(s)", "header has 3"]),
        ("params,tokens,loss\n1e6,1e8,3,1\n2e6,2e8,2,9\n", ["row 1 (line 2)", "4 cell(s)", "quote"]),
        ("params,loss,loss\n1e6,3,3\n", ["two columns named 'loss'"]),
        ("params,loss, loss \n1e6,3,3\n", ["two columns named 'loss'"]),
        ('params,loss\n1e6,"3\n2e6,3\n', ["is not CSV", "quotes"]),
        ('params,loss\n"1e6"x,3\n', ["line 2", "is not CSV"]),
        ('params,loss\n"' + "x" * 200_000 + '",3\n', ["line 2", "is not CSV", "131,072 characters"]),
    ],
)
def test_csv_refusals_say_what_is_wrong(folder: Path, content: str | bytes, words: list[str]) -> None:
    message = refusal(lambda: read_csv(written(folder, content)))
    assert "runs.csv" in message
    for word in words:
        assert word in message


def test_cells_separated_by_tabs(folder: Path) -> None:
    """Commas are part of cells; other separators, and half a row, are refused as in CSV."""
    path = written(
        folder,
        GOOD.replace(",", "\t").replace("loss", "loss\ttag").replace("3.1", "3.1\ta, b").replace("2.9", "2.9\t007"),
        "runs.TSV",
    )
    frame = read_table(path, text=["tag"])
    assert frame["tag"].tolist() == ["a, b", "007"] and frame["params"].tolist() == [1e6, 2e6]
    for content, words in [
        (GOOD, "separated by commas .* let its name end in .csv"),
        (GOOD.replace(",", ";"), "separated by ';' .* separate its cells by tabs"),
        ("params\tloss\n1e6\n", "check the tabs"),
        ('params\tloss\n"1e6"x\t3\n', "this is not TSV"),
    ]:
        with pytest.raises(DataError, match=words):
            Runs.read(written(folder, content, "runs.tsv"))


def test_csv_cells_keep_what_they_are(folder: Path) -> None:
    frame = read_csv(
        written(
            folder, "run,seed,hash,lr,done,tag,note\n007,01,9999999999999999999,.5,True,NA,a\n1e5,2,1,,False,None,\n"
        ),
        text={"run"},
    )
    assert frame["run"].tolist() == ["007", "1e5"]
    assert frame["seed"].dtype == np.int64 and frame["seed"].tolist() == [1, 2]
    assert frame["hash"].tolist() == [1e19, 1.0]
    assert frame["lr"][0] == 0.5 and math.isnan(frame["lr"][1])
    assert frame["done"].dtype == bool and frame["done"].tolist() == [True, False]
    assert frame["tag"].tolist() == ["NA", "None"]
    assert frame["note"][0] == "a" and pd.isna(frame["note"][1])


def test_csv_header_alone_has_no_rows(folder: Path) -> None:
    assert len(read_csv(written(folder, "params,loss\n"))) == 0


@settings(deadline=None, max_examples=40)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_break_a_reader(folder: Path, content: bytes) -> None:
    path = written(folder, content, "any")
    for read in (read_csv, read_json_lines, read_parquet):
        try:
            frame = read(path)
        except DataError as error:
            assert str(error).isprintable()
        else:
            assert isinstance(frame, pd.DataFrame)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.floats(1e3, 1e12), st.floats(1e3, 1e12), st.floats(1e-6, 1e3)),
        min_size=1,
        max_size=20,
        unique=True,
    )
)
def test_numbers_survive_every_file_bit_for_bit(folder: Path, rows: list[tuple[float, float, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["params", "tokens", "loss"])
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_parquet(folder / "a.parquet")
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    hashes = {Runs.from_frame(frame).content_hash}
    for ending in ("csv", "parquet", "jsonl"):
        runs = Runs.read(folder / f"a.{ending}")
        for name in frame:
            assert runs.column(name).tobytes() == frame[name].to_numpy().tobytes()
        hashes.add(runs.content_hash)
    assert len(hashes) == 1


@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.integers(-(10**17) + 1, 10**18 - 1), min_size=1, max_size=10, unique=True))
def test_whole_numbers_survive_csv(folder: Path, values: list[int]) -> None:
    frame = read_csv(written(folder, "loss,seed\n" + "".join(f"3,{value}\n" for value in values)))
    assert frame["seed"].tolist() == values


# --- JSON lines ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", ["line 1", "an array"]),
        ('{"loss": 3}\n[{"loss": 3}]', ["line 2", "an array"]),
        ("null", ["line 1", "None"]),
        ("3", ["line 1", "not 3"]),
        ('"abc"', ["line 1", "'abc'"]),
        ('{"loss": 3', ["line 1", "is not JSON"]),
        ('{\n"loss": 3\n}', ["line 1", "one JSON object per line"]),
        ("params,loss\n1,2", ["line 1", "is not JSON"]),
        ('{"loss": 3, "loss": 4}', ["line 1", "'loss' comes twice"]),
        ("[" * 100_000, ["line 1", "is not JSON"]),
        ("{}\n{}", ["only empty objects"]),
        ('{"loss": 3, "run": "\\ud800"}', ["line 1", "surrogate"]),
        ('{"loss": 3, "\\uD800": 1}', ["line 1", "surrogate"]),
        (b'{"loss": 3}\n{"loss": 3, "tag": "\xe9"}', ["line 2", "0xe9"]),
        (b'{"loss": 3}\x00', ["NUL"]),
        ("", ["empty"]),
        ("\n", ["blank"]),
    ],
)
def test_json_lines_refusals_say_what_is_wrong(folder: Path, content: str | bytes, words: list[str]) -> None:
    message = refusal(lambda: read_json_lines(written(folder, content, "runs.jsonl")))
    assert "runs.jsonl" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("Infinity", ["row 2", "column loss", "infinite"]),
        ("1" * 400, ["row 2", "column loss", "infinite or too large"]),
        ("1" * 5000, ["row 2", "column loss", "infinite or too large"]),
        ("[3.1]", ["row 2", "column loss", "[3.1] is not a number"]),
        ('{"value": 3.1}', ["row 2", "column loss", "{'value': 3.1} is not a number"]),
        ("true", ["row 2", "column loss", "True is not a number"]),
        ('"3,1"', ["row 2", "column loss", "'3,1' is not a number", "decimal point"]),
    ],
)
def test_json_cells_are_named(folder: Path, cell: str, words: list[str]) -> None:
    path = written(folder, f'{{"params": 1e6, "loss": 3}}\n\n{{"params": 2e6, "loss": {cell}}}', "runs.jsonl")
    message = refusal(lambda: Runs.read(path))
    for word in words:
        assert word in message


@pytest.mark.parametrize("cell", ["NaN", "null", '"N/A"', '"-"'])
def test_json_rows_without_a_loss_are_left_out(folder: Path, cell: str) -> None:
    path = written(folder, f'{{"params": 1e6, "loss": 3}}\n{{"params": 2e6, "loss": {cell}}}', "runs.jsonl")
    assert Runs.read(path).warnings[0] == "1 row without a loss left out: row 2 of 2"


def test_json_objects_may_lack_keys_and_nest_elsewhere(folder: Path) -> None:
    rows = [{"params": 1e6, "loss": 3, "config": {"lr": [1]}}, {"loss": 3, "params": 2e6, "note": "a\u2028b"}]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    runs = Runs.read(written(folder, content, "runs.ndjson"))
    assert runs.column("params").tolist() == [1e6, 2e6]
    assert runs.table["config"][0] == {"lr": [1]}
    assert runs.table["note"][1] == "a\u2028b"
    lacking = refusal(lambda: Runs.read(written(folder, '{"params": 1e6, "loss": 3}\n{"loss": 3}', "runs.jsonl")))
    assert "row 2, column params" in lacking and "missing" in lacking


# --- a JSON array ---


def test_a_json_array_of_flat_objects_is_a_table(folder: Path) -> None:
    rows = [{"params": 1e6, "loss": 3.1, "run": "007"}, {"loss": 2.9, "params": 10**17 + 1, "run": "\u00e9"}]
    runs = Runs.read(written(folder, json.dumps(rows, indent=2), "runs.JSON"))
    assert runs.labels == ["007", "\u00e9"] and runs.loss.tolist() == [3.1, 2.9]
    lines = Runs.read(written(folder, "\n".join(map(json.dumps, rows)), "runs.jsonl"))
    inside = json.dumps({"config": {"lr": 1}, "seeds": [1, 2], "runs": rows})
    assert runs.content_hash == lines.content_hash == Runs.read(written(folder, inside, "all.json")).content_hash


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"runs": [{"loss": 3}], "more": [{}]}', ["runs.json holds an object", "bayes-scaling import wandb"]),
        ('{"runs": [3]}', ["runs.json holds an object", "bayes-scaling import wandb"]),
        ("[]", ["runs.json holds []", "bayes-scaling import wandb"]),
        ("3", ["runs.json holds 3", "bayes-scaling import wandb"]),
        ('[{"loss": 3}, 4]', ["row 2 is 4", "bayes-scaling import wandb"]),
        ('[{"loss": 3}, [4]]', ["row 2 is an array", "bayes-scaling import wandb"]),
        ('[{"loss": 3}, {"loss": 3, "config": {"n": 1}}]', ["row 2 is an object with a nested config", "import wandb"]),
        ('[{"loss": 3},\n{"loss": [3]}]', ["row 2 is an object with a nested loss", "import wandb"]),
        ('{"loss": 3}\n{"loss": 4}', ["Extra data in line 2", "array of flat objects", "import wandb"]),
        ('[{"loss": 3,\n}]', ["is not JSON", "import wandb"]),
        ('[{"loss": 3, "loss": 4}]', ["'loss' comes twice"]),
        ("[" * 100_000, ["is not JSON"]),
        ("[{}, {}]", ["only empty objects"]),
        ('[{"loss": 3, "run": "\\ud800"}]', ["surrogate"]),
        (b'[{"loss": 3, "tag": "\xe9"}]', ["0xe9"]),
        ("", ["empty"]),
        (" ", ["blank"]),
        ('[{"loss": 3, "params": 1e6}, {"loss": 3, "params": null}]', ["row 2", "column params", "missing"]),
    ],
)
def test_json_refusals_say_what_is_wrong(folder: Path, content: str | bytes, words: list[str]) -> None:
    message = refusal(lambda: Runs.read(written(folder, content, "runs.json")))
    for word in ["runs.json", *words]:
        assert word in message


# --- Parquet ---


def test_parquet_that_is_not_parquet(folder: Path) -> None:
    for content in (b"junk", b"PAR1", b"PAR1junkPAR1", GOOD.encode()):
        message = refusal(lambda content=content: Runs.read(written(folder, content, "runs.parquet")))  # type: ignore[misc]
        assert "runs.parquet is not a readable Parquet file" in message
    assert "runs.parquet is empty" in refusal(lambda: Runs.read(written(folder, b"", "runs.parquet")))


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0.01, 0.99))
def test_truncated_parquet_is_refused(folder: Path, share: float) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"params": [1e6, 2e6], "loss": [3.0, 2.0]}).to_parquet(buffer)
    whole = buffer.getvalue()
    path = written(folder, whole[: int(share * len(whole))], "cut.parquet")
    assert "cut.parquet" in refusal(lambda: Runs.read(path))


# --- paths ---


def test_paths_that_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in refusal(lambda: Runs.read(tmp_path / "folder.csv"))
    assert "there is no file" in refusal(lambda: Runs.read(tmp_path / "absent.csv"))
    assert "there is no file" in refusal(lambda: Runs.read("a\0b.csv"))
    assert "cannot be read" in refusal(lambda: Runs.read("x" * 5000 + ".csv"))
    for name, ending in (("runs.txt", ".txt"), ("runs", "nothing"), ("runs.csv.gz", ".gz")):
        message = refusal(lambda name=name: read_table(written(tmp_path, GOOD, name)))  # type: ignore[misc]
        assert f"{name} ends in {ending}; expected one of .csv, .tsv, .parquet, .jsonl, .ndjson, .json" in message
    for path in (None, 3, pd.DataFrame({"loss": [1.0]})):
        assert "expected the path of a file" in refusal(lambda path=path: Runs.read(path))  # type: ignore[misc]


def test_endings_in_any_case(tmp_path: Path) -> None:
    assert len(Runs.read(str(written(tmp_path, GOOD, "RUNS.CSV")))) == 2


@pytest.mark.parametrize("name", ["läufe 日本.csv", "a\nb.csv", "a\x1b[31mb.csv", "n" * 200 + ".csv"])
def test_odd_file_names_stay_on_one_line(tmp_path: Path, name: str) -> None:
    message = refusal(lambda: Runs.read(written(tmp_path, "params,loss\n1e6,-3\n", name)))
    assert "row 1, column loss: -3 is negative" in message
    if name.isprintable() and len(name) < 80:
        assert message.startswith(name)
    assert Runs.read(written(tmp_path, GOOD, name)).source.isprintable()
