"""Files of experiment trackers, written by the real libraries: ``python tracker_files.py wandb FOLDER``.

A process of its own, because these libraries warn, start threads and change the environment.
"""

from __future__ import annotations

import dataclasses
import math
import os
import struct
import sys
import zlib
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Run:
    name: str
    params: float | None
    losses: tuple[float, ...]
    failed: bool = False

    @property
    def points(self) -> list[tuple[int, float, float]]:
        """Steps, tokens and losses; the losses are exact in 32 bits."""
        return [(10 * i, 1e6 * i, loss) for i, loss in enumerate(self.losses, start=1)]


RUNS = (
    Run("small", 1e6, (3.5, 3.25, 3.125)),
    Run("large", 4e6, (3.25, 3.0, 2.75)),
    Run("diverged", 2e6, (3.25, math.nan)),
    Run("unsized", None, (3.5, 3.0)),
    Run("stopped", 3e6, (3.5, 3.375), failed=True),
)


class Stopped(Exception):
    """What ends the run that fails."""


def wandb(folder: Path) -> None:
    import wandb as tracker

    for run in RUNS:
        config = {"model": {"width": 64} | ({"n_params": int(run.params)} if run.params else {}), "data": "c4"}
        settings = tracker.Settings(silent=True, console="off", x_disable_stats=True)
        logged = tracker.init(mode="offline", dir=folder, id=run.name, name=run.name, config=config, settings=settings)
        for step, tokens, loss in run.points:
            logged.log({"tokens": tokens, "val/loss": loss, "note": "x" * 20_000}, step=step)  # over several blocks
            logged.log({"nested": {"loss": loss}}, step=step)
        logged.summary["best"] = min(run.losses)
        logged.finish(exit_code=int(run.failed))
    typed_history(folder / "typed.wandb")


def typed_history(path: Path) -> None:
    """Write values of the kinds that wandb has messages for, but seldom uses; ``path`` is no name of a run file."""
    from wandb.proto import wandb_internal_pb2 as messages

    def item(key: str, **value: object) -> messages.HistoryItem:
        return messages.HistoryItem(key=key, **value)

    rows = [
        [
            item("loss", number=3.5),
            item("tokens", integer=1_000_000),
            item("shift", integer=-3),
            item("on", boolean=True),
        ],
        [item("loss", json="3.25"), item("tokens", number=2e6), item("shift", integer=-3), item("word", text="warm")],
    ]
    with path.open("wb") as file:
        file.write(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
        for step, items in enumerate(rows, start=1):
            history = messages.HistoryRecord(item=items, step=messages.HistoryStep(num=step))
            record = messages.Record(history=history).SerializeToString()
            file.write(struct.pack("<IHB", zlib.crc32(b"\x01" + record), len(record), 1) + record)


def mlflow(folder: Path) -> None:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    import mlflow as tracker
    import sqlalchemy

    @sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
    def hurry(connection: object, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]

    for store in (str(folder / "mlruns"), f"sqlite:///{folder / 'mlflow.db'}"):
        tracker.set_tracking_uri(store)
        tracker.set_experiment("sizes and data")
        for run in RUNS:
            try:
                with tracker.start_run(run_name=run.name) as started:
                    if run.params:
                        tracker.log_param("n_params", int(run.params))
                    tracker.log_param("model.width", 64)
                    tracker.set_tag("data", "c4")
                    for step, tokens, loss in run.points:
                        tracker.log_metric("tokens", tokens, step=step)
                        tracker.log_metric("val/loss", loss, step=step)
                    tracker.log_metric("worst", math.inf)
                    if run.failed:
                        raise Stopped
            except Stopped:
                pass
        with tracker.start_run(run_name="gone") as started:
            tracker.log_param("n_params", 7)
        tracker.delete_run(started.info.run_id)


def tensorboard(folder: Path) -> None:
    from tensorboardX import SummaryWriter
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.proto.tensor_pb2 import TensorProto

    for run in RUNS:
        writer = SummaryWriter(str(folder / run.name))
        for step, tokens, loss in run.points:
            writer.add_scalar("tokens", tokens, step)
            writer.add_scalar("val/loss", loss, step)
            for kind, fields in ((1, {"float_val": [loss]}), (2, {"double_val": [loss]})):  # as TensorFlow 2 writes
                value = Summary.Value(tag=f"tensor/{kind}", tensor=TensorProto(dtype=kind, **fields))
                writer.file_writer.add_summary(Summary(value=[value]), step)
        writer.add_text("note", "not a number")
        writer.add_histogram("weights", [0.0, 1.0, 2.0], 1)
        if run.params:
            writer.add_hparams(
                {"n_params": run.params, "data": "c4", "tied": True}, {"final": run.losses[-1]}, name="hp"
            )
        writer.close()
    resumed = SummaryWriter(str(folder / "large"), filename_suffix=".2", purge_step=30)  # what came after it is undone
    resumed.add_scalar("tokens", 3e6, 30)
    resumed.add_scalar("val/loss", 2.5, 30)
    resumed.close()


def scalars(folder: Path, losses: list[tuple[int, float]], suffix: str = "") -> None:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder), filename_suffix=suffix)
    for step, loss in losses:
        writer.add_scalar("loss", loss, step)
    writer.close()


if __name__ == "__main__":
    {"wandb": wandb, "mlflow": mlflow, "tensorboard": tensorboard}[sys.argv[1]](Path(sys.argv[2]))
