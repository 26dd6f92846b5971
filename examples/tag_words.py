"""The part of speech of every word, in sentences of unequal length: what stands past their ends does not count."""

import numpy as np

from nblstm.datasets import token_vocabulary
from nblstm.jobs import TaggingJob, TaggingSettings, tagged_sequences
from nblstm.runs import Run

rng = np.random.default_rng(0)


def sentence():
    """Words and tags of one to four clauses: the same words are nouns and verbs, only their place tells which."""
    words, tags = [], []
    for _ in range(rng.integers(1, 5)):
        subject, verb, thing = rng.choice(["fish", "can", "saw", "plant", "watch"], 3)
        old = ["old"] if rng.random() < 0.5 else []
        words += ["the", *old, subject, verb, "the", thing]
        tags += ["DET", *["ADJ" for _ in old], "NOUN", "VERB", "DET", "NOUN"]
    return words, tags


sentences, tags = zip(*[sentence() for _ in range(600)], strict=True)
vocabulary = token_vocabulary(sentences)
training = tagged_sequences(sentences[:500], tags[:500], vocabulary)
held_out = tagged_sequences(sentences[500:], tags[500:], vocabulary)
settings = TaggingSettings(hidden_size=16, embedding_size=8, epochs=5)
run = Run.create(None, TaggingJob(settings, training, held_out, vocabulary))
run.train(progress=False)
print(f"right: {run.evaluations[-1]['accuracy']:.1%}; F1 of each tag:", run.job.f1_by_class())
print(run.best_model.tag([["the", "old", "can", "can", "the", "fish"]])[0])
