"""Sequences of unequal length, one label each: signals whose pitch rises or falls."""

import numpy as np

import nblstm
from nblstm.jobs import ClassificationJob, Sequences, SequenceSettings
from nblstm.runs import Run

rng = np.random.default_rng(0)


def signal(label):
    """20 to 60 steps of a noisy sine, (steps, 1), whose pitch rises or falls."""
    time = np.linspace(0, 1, rng.integers(20, 61))
    pitch = time if label == "rises" else 1 - time
    return np.sin(20 * np.cumsum(0.2 + pitch) / len(time))[:, None] + 0.2 * rng.standard_normal((len(time), 1))


labels = rng.choice(["falls", "rises"], 700)
x, lengths = nblstm.pad_sequences([signal(label) for label in labels])  # (steps, sequences, features)
training = Sequences(x[:, :600], labels[:600], lengths[:600])
held_out = Sequences(x[:, 600:], labels[600:], lengths[600:])
run = Run.create(None, ClassificationJob(SequenceSettings(hidden_size=32, epochs=12), training, held_out))
run.train(progress=False)
model = run.best_model
before, after = (run.evaluations[k]["accuracy"] for k in (0, -1))
print(f"right before training: {before:.0%}, after: {after:.0%}")
print("a new one that rises:", model.classify(signal("rises").astype("float32")))
