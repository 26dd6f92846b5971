"""In PyTorch what examples/tag_words.py does: the part of speech of every word, padding ignored."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

IGNORED = -100
rng = np.random.default_rng(0)
torch.manual_seed(0)


def sentence():
    """Words and tags of one to four clauses: the same words are nouns and verbs, only their place tells which."""
    words, tags = [], []
    for _ in range(rng.integers(1, 5)):
        subject, verb, thing = rng.choice(["fish", "can", "saw", "plant", "watch"], 3)
        old = ["old"] if rng.random() < 0.5 else []
        words += ["the", *old, subject, verb, "the", thing]
        tags += ["DET", *["ADJ" for _ in old], "NOUN", "VERB", "DET", "NOUN"]
    return words, tags


class Tagger(nn.Module):
    """An embedding, an LSTM in both directions, and a linear layer at every step."""

    def __init__(self, words, classes):
        super().__init__()
        self.embedding = nn.Embedding(words, 8)
        self.lstm, self.linear = nn.LSTM(8, 16, bidirectional=True), nn.Linear(32, classes)

    def forward(self, words, lengths):
        """Logits, (steps, sentences, classes)."""
        packed = pack_padded_sequence(self.embedding(words), lengths, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], total_length=len(words))
        return self.linear(y)


sentences, tags = zip(*[sentence() for _ in range(600)], strict=True)
names = sorted({tag for some in tags for tag in some})
places = {word: n for n, word in enumerate(["<unk>", *sorted({word for words in sentences for word in words})])}
x = pad_sequence([torch.tensor([places[word] for word in words]) for words in sentences])
targets = pad_sequence([torch.tensor([names.index(tag) for tag in some]) for some in tags], padding_value=IGNORED)
lengths = torch.tensor([len(words) for words in sentences])
model, epochs, size = Tagger(len(places), len(names)), 5, 32
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (500 // size), eta_min=0.0005)
for _ in range(epochs):
    for batch in torch.randperm(500).split(size)[: 500 // size]:
        z = model(x[:, batch], lengths[batch])
        loss = nn.functional.cross_entropy(z.flatten(0, 1), targets[:, batch].flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
with torch.no_grad():
    counted = targets[:, 500:] != IGNORED
    truth, found = targets[:, 500:][counted], model(x[:, 500:], lengths[500:]).argmax(2)[counted]
    scores = {}
    for k, name in enumerate(names):
        both, either = ((truth == k) & (found == k)).sum(), (truth == k).sum() + (found == k).sum()
        scores[name] = round((2 * both / either).item(), 3)
    print(f"right: {(truth == found).float().mean():.1%}; F1 of each tag:", scores)
    words = ["the", "old", "can", "can", "the", "fish"]
    z = model(torch.tensor([[places.get(word, 0)] for word in words]), torch.tensor([len(words)]))
    print([names[k] for k in z[:, 0].argmax(1)])
