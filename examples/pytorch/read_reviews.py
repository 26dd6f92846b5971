"""In PyTorch what examples/read_reviews.py does: which reviews are good ones."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

GOOD, BAD, NOT, WORDS = 0, 1, 2, 50
rng = np.random.default_rng(0)
torch.manual_seed(0)


def reviews(count):
    """Words (20, count), of 4 to 20 each, and labels: one is good or bad, and the one before it may say "not"."""
    words, lengths = rng.integers(3, WORDS, (20, count)), rng.integers(4, 21, count)
    place, mood, negated = rng.integers(1, lengths), rng.integers(2, size=count), rng.random(count) < 0.5
    words[place, np.arange(count)] = mood
    words[place[negated] - 1, np.flatnonzero(negated)] = NOT
    return torch.from_numpy(words), torch.from_numpy(lengths), torch.from_numpy(mood ^ negated)


class Reader(nn.Module):
    """Embedding, both directions, mean over the steps that are there, dropout, linear."""

    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(WORDS, 16), nn.LSTM(16, 16, bidirectional=True)
        self.drop, self.linear = nn.Dropout(0.2), nn.Linear(32, 2)

    def forward(self, words, lengths):
        """Logits, (reviews, 2)."""
        packed = pack_padded_sequence(self.embed(words), lengths, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0])  # zeros past the ends, so that the sum is that of the steps
        return self.linear(self.drop(y.sum(0) / lengths[:, None]))


net = Reader()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(200):
    words, lengths, labels = reviews(64)
    loss = nn.functional.cross_entropy(net(words, lengths), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
net.eval()
words, lengths, labels = reviews(1000)
with torch.no_grad():
    right = (net(words, lengths).argmax(1) == labels).float().mean()
print(f"right on 1,000 new reviews: {right:.1%}")
