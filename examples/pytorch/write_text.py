"""In PyTorch what examples/write_text.py does: schedule, clipping, early stopping, the best weights kept."""

import copy
import math
from pydoc_data.topics import topics

import torch
from torch import nn

WINDOW, STEPS, PATIENCE = 50, 800, 75  # PATIENCE: so many steps without gain end it
torch.manual_seed(0)


class Writer(nn.Module):
    """An embedding, an LSTM, and a linear layer at every step."""

    def __init__(self, characters):
        super().__init__()
        self.embedding = nn.Embedding(characters, 32)
        self.lstm, self.linear = nn.LSTM(32, 128), nn.Linear(128, characters)

    def forward(self, tokens, state=None):
        """Logits (steps, streams, characters), and the state after the last step."""
        y, state = self.lstm(self.embedding(tokens), state)
        return self.linear(y), state


def bits_per_character(model, tokens):
    """Of a text that the model has not learned from."""
    with torch.no_grad():
        logits, _ = model(tokens[:-1, None])
    return nn.functional.cross_entropy(logits[:, 0], tokens[1:]).item() / math.log(2)


def sample(model, vocabulary, prompt, length, temperature):
    """The prompt, and characters drawn one after the other."""
    tokens, state, text = torch.tensor([[vocabulary.index(character)] for character in prompt]), None, prompt
    for _ in range(length):
        with torch.no_grad():
            logits, state = model(tokens, state)
        tokens = torch.multinomial((logits[-1, 0] / temperature).softmax(0), 1)[None]
        text += vocabulary[tokens.item()]
    return text


def warmup_cosine(step, peak=0.01, warmup=20):
    """The learning rate of a step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup))) / 2


text = "\n".join(topics[name] for name in sorted(topics))[:20_000]  # Python's own language reference
vocabulary = "".join(sorted(set(text)))
tokens = torch.tensor([vocabulary.index(character) for character in text])
training, validation = tokens[: len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10 :]
length = (len(training) - 1) // 16
places = torch.arange(16) * length + torch.arange(length + 1)[:, None]
columns = training[places]  # 16 streams side by side
model = Writer(len(vocabulary))
optimizer = torch.optim.Adam(model.parameters())
step, best_step, best, state = 0, 0, math.inf, None
while step < STEPS and step - best_step < PATIENCE:
    start = step * WINDOW % (len(columns) - WINDOW)
    state = tuple(part.detach() for part in state) if start >= WINDOW else None
    logits, state = model(columns[start : start + WINDOW], state)
    targets = columns[start + 1 : start + WINDOW + 1]
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = warmup_cosine(step)
    optimizer.step()
    step += 1
    if step % 25 == 0 and (bits := bits_per_character(model, validation)) < best:
        best, best_step, weights = bits, step, copy.deepcopy(model.state_dict())
model.load_state_dict(weights)
print(f"{best:.2f} bits per character after {best_step} of {step} steps, {math.log2(len(vocabulary)):.2f} by guessing")
print(sample(model, vocabulary, "The ", 200, temperature=0.5))
