"""A net that writes text, by a loop of one's own: schedule, clipping, early stopping, the best weights kept."""

import math

import nblstm
from nblstm.datasets import encode, load_text, split, streams, vocabulary_of
from nblstm.training import evaluate

WINDOW, STEPS, PATIENCE = 50, 800, 75  # PATIENCE: so many steps without gain end it
text = load_text()[:20_000]  # Python's own language reference, which every Python carries
vocabulary = vocabulary_of(text)
training, validation = split(encode(text, vocabulary))
columns = streams(training, 16, WINDOW)  # 16 streams side by side
model = nblstm.CharLM(vocabulary, 32, 128, num_layers=1, seed=0)
optimizer, schedule = nblstm.Adam(model), nblstm.warmup_cosine(0.01, warmup=20, total=STEPS)
step, best_step, best, state, tape = 0, 0, math.inf, None, None
while step < STEPS and step - best_step < PATIENCE:
    start = step * WINDOW % (len(columns) - WINDOW)
    logits, state, tape = model.forward(columns[start : start + WINDOW], state if start >= WINDOW else None, tape)
    loss, dlogits = nblstm.cross_entropy(logits, columns[start + 1 : start + WINDOW + 1])
    optimizer.zero_grad()
    model.backward(dlogits, tape)
    nblstm.clip_grad_norm(model, 1.0)
    optimizer.step(lr=schedule(step))
    step += 1
    if step % 25 == 0 and (bits := evaluate(model, validation)) < best:
        best, best_step, weights = bits, step, model.state_dict()
model.load_state_dict(weights)
print(f"{best:.2f} bits per character after {best_step} of {step} steps, {math.log2(len(vocabulary)):.2f} by guessing")
print(model.sample("The ", 200, temperature=0.5, seed=0))
