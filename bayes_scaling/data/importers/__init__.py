"""Importers: runs from exports and local files of experiment trackers, read without a server or a network."""

from bayes_scaling.data.importers.mlflow import import_mlflow as import_mlflow
from bayes_scaling.data.importers.tensorboard import import_tensorboard as import_tensorboard
from bayes_scaling.data.importers.wandb import import_wandb as import_wandb
