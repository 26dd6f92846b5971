"""Recurrent networks for the CPU, compiled by Numba, with backpropagation through time written out.

Layers
    `LSTM`, `GRU`, `RNN`, `Recurrent` of any `Cell`, and for single steps `LSTMCell`, `GRUCell`, `RNNCell`; `Embedding`,
    `Linear`, `LayerNorm`, `Dropout`, `Tanh`, `Sigmoid`, `ReLU`, `Softmax`; over time `MeanOverTime`, `MaxOverTime`,
    `LastOverTime`, `AttentionOverTime`; `AdditiveAttention` and `DotProductAttention` between two sequences.
Nets
    `Sequential` chains layers, `Composed` is the base of nets that are no chain, `Layer` that of layers of one's own.
Models
    `CharLM` and `WordLM` write text; `SequenceClassifier` and `SequenceRegressor` read a sequence and answer once;
    `SequenceTagger` answers at every step. `nblstm.models.Network` is the base of models of one's own with files.
Training
    `cross_entropy`, `mse_loss`, `class_weights`, `softmax`, `log_softmax`; `SGD`, `RMSprop`, `Adam`, `AdamW`,
    `clip_grad_norm`, `warmup_cosine`; `gradcheck` holds any backward against differences.
nblstm.runs, nblstm.jobs
    `Run` trains a job, a model with its data and settings, with progress bar, evaluations and checkpoints, and resumes.
    `ClassificationJob`, `RegressionJob` and `TaggingJob` learn from `Sequences`, `TextJob` from a text. What a run may
    be told stands field by field in `Settings`, and in `SequenceSettings`, `TaggingSettings` and `TextSettings`.
nblstm.search
    `Search` trains a job with many settings, on this machine's processes or on a Dask cluster, and finds the best.
nblstm.training
    `BatchTrainer`, `TagTrainer` and `TextTrainer`, the loops inside a run; `predict` and `evaluate`.
nblstm.distributed
    A training by several processes over MPI, which share out the shards of a batch: the setting `shards` of a job.
nblstm.sklearn
    `LSTMClassifier` and `LSTMRegressor`, estimators for scikit-learn, which they need.
nblstm.weights
    Files, and weights to and from PyTorch, Keras, TensorFlow, ONNX, RTNeural and NAM.
nblstm.datasets, nblstm.plot
    Texts, images and made-up tasks, and `pad_sequences`; pictures of training, of gates and of nets.
thread_policy
    When work is shared out among threads.

The command `nblstm` trains, samples, classifies and exports without a line of Python: ``nblstm --help``.
"""

from typing import Any

from nblstm import weights
from nblstm.cells import Cell
from nblstm.datasets.padding import pad_sequences
from nblstm.gradcheck.compare import gradcheck
from nblstm.kernels.policy import thread_policy
from nblstm.layers import (
    GRU,
    LSTM,
    RNN,
    AdditiveAttention,
    AttentionOverTime,
    Composed,
    DotProductAttention,
    Dropout,
    Embedding,
    GRUCell,
    LastOverTime,
    Layer,
    LayerNorm,
    Linear,
    LSTMCell,
    MaxOverTime,
    MeanOverTime,
    Recurrent,
    ReLU,
    RNNCell,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from nblstm.losses.class_weights import class_weights
from nblstm.losses.loss_functions import cross_entropy, mse_loss
from nblstm.losses.softmax import log_softmax, softmax
from nblstm.models import CharLM, SequenceClassifier, SequenceRegressor, SequenceTagger, WordLM
from nblstm.optim.clipping import clip_grad_norm
from nblstm.optim.optimizers import SGD, Adam, AdamW, RMSprop
from nblstm.optim.schedules import warmup_cosine

__all__ = [
    "GRU", "LSTM", "RNN", "SGD", "Adam", "AdamW", "AdditiveAttention", "AttentionOverTime", "Cell", "CharLM",
    "Composed", "DotProductAttention", "Dropout", "Embedding", "GRUCell", "LSTMCell", "LastOverTime", "Layer",
    "LayerNorm", "Linear", "MaxOverTime", "MeanOverTime", "RMSprop", "RNNCell", "ReLU", "Recurrent",
    "SequenceClassifier", "SequenceRegressor", "SequenceTagger", "Sequential", "Sigmoid", "Softmax", "Tanh", "WordLM",
    "class_weights", "clip_grad_norm", "cross_entropy", "gradcheck", "log_softmax", "mse_loss", "pad_sequences",
    "softmax", "thread_policy", "warmup_cosine", "weights",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The version, looked up only when it is asked for, which takes a while."""
    if name != "__version__":
        raise AttributeError(f"module 'nblstm' has no attribute {name!r}")
    from nblstm.environment import version_of

    return version_of("nblstm")
