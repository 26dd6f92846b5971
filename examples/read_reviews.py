"""Embedding, both directions, mean over the steps that are there, dropout, linear: which reviews are good ones."""

import numpy as np

from nblstm import LSTM, Adam, Dropout, Embedding, Linear, MeanOverTime, Sequential, cross_entropy

GOOD, BAD, NOT, WORDS = 0, 1, 2, 50
rng = np.random.default_rng(0)


def reviews(count):
    """Words (20, count), of 4 to 20 each, and labels: one is good or bad, and the one before it may say "not"."""
    words, lengths = rng.integers(3, WORDS, (20, count)), rng.integers(4, 21, count)
    place, mood, negated = rng.integers(1, lengths), rng.integers(2, size=count), rng.random(count) < 0.5
    words[place, np.arange(count)] = mood
    words[place[negated] - 1, np.flatnonzero(negated)] = NOT
    return words, lengths, mood ^ negated


both_ways = LSTM(16, 16, bidirectional=True, seed=0)
net = Sequential(Embedding(WORDS, 16, seed=1), both_ways, MeanOverTime(), Dropout(0.2, seed=2), Linear(32, 2, seed=3))
optimizer, tape = Adam(net, lr=0.01), None
for _ in range(200):
    words, lengths, labels = reviews(64)
    z, _, tape = net.forward(words, lengths=lengths, tape=tape)
    loss, dz = cross_entropy(z, labels)
    optimizer.zero_grad()
    net.backward(dz, tape, need_dx=False)
    optimizer.step()
words, lengths, labels = reviews(1000)
z, _ = net(words, lengths=lengths)  # nothing is dropped here
print(f"right on 1,000 new reviews: {(z.argmax(axis=1) == labels).mean():.1%}")
