"""In PyTorch what examples/classify_sequences.py does: signals of unequal length whose pitch rises or falls."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

rng = np.random.default_rng(0)
torch.manual_seed(0)


def signal(label):
    """20 to 60 steps of a noisy sine, (steps, 1), whose pitch rises or falls."""
    time = np.linspace(0, 1, rng.integers(20, 61))
    pitch = time if label == "rises" else 1 - time
    return np.sin(20 * np.cumsum(0.2 + pitch) / len(time))[:, None] + 0.2 * rng.standard_normal((len(time), 1))


class Classifier(nn.Module):
    """An LSTM, and a linear layer on its last state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.linear = nn.LSTM(1, 32), nn.Linear(32, 2)

    def forward(self, x, lengths):
        """Logits of the classes, (sequences, 2)."""
        _, (h_n, _) = self.lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return self.linear(h_n[-1])


names = ["falls", "rises"]
classes = torch.from_numpy(rng.integers(2, size=700))
signals = [torch.from_numpy(signal(names[k]).astype("float32")) for k in classes]
x, lengths = pad_sequence(signals), torch.tensor([len(one) for one in signals])
model, epochs, size = Classifier(), 12, 32
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (600 // size), eta_min=0.0005)


def accuracy():
    """On the sequences held out."""
    with torch.no_grad():
        return (model(x[:, 600:], lengths[600:]).argmax(1) == classes[600:]).float().mean().item()


before = accuracy()
for _ in range(epochs):
    for batch in torch.randperm(600).split(size)[: 600 // size]:
        loss = nn.functional.cross_entropy(model(x[:, batch], lengths[batch]), classes[batch])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
print(f"right before training: {before:.0%}, after: {accuracy():.0%}")
new = torch.from_numpy(signal("rises").astype("float32"))[:, None]
print("a new one that rises:", names[model(new, torch.tensor([len(new)])).argmax()])
