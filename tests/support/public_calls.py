"""One valid call of every public function and method: what the tests of arguments start from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import nblstm
from nblstm import baselines, datasets, jobs, metrics, plot, training, weights
from nblstm.cells import CELLS
from nblstm.layers.stream import Stream
from support.ingredients import (
    CELL,
    CLASSES,
    DECLARATION,
    FILES,
    LENGTHS,
    LINES,
    MODEL,
    NUMBERS,
    RATES,
    RECURRENT,
    SETTINGS,
    TENSORS,
    B,
    Call,
    H,
    I,
    T,
    V,
    X,
    additive_attention,
    amplifier,
    attention_over_time,
    axes,
    backward,
    batch_trainer,
    call,
    cell,
    characters,
    classifier,
    create_run,
    embedding,
    forward,
    job_data,
    layer_backward,
    linear,
    lstm,
    numbers,
    onnx_file,
    pair,
    policy_in_force,
    positive,
    regressor,
    resume_run,
    rng,
    sequential,
    tag_trainer,
    tagger,
    tagging_job,
    text_trainer,
    tokens,
    trained,
    with_gradients,
    without_formulation,
    write,
)

# By the qualified name: what is called, and its arguments, all made anew. All arguments are there, also those that
# have defaults; None where another argument excludes it.
CALLS: dict[str, Callable[[], Call]] = {
    "LSTM.__init__": lambda: call(nblstm.LSTM, **RECURRENT, peephole=True, forget_bias=0.5),
    "Cell.__init__": lambda: call(nblstm.Cell, **DECLARATION),
    "Recurrent.__init__": lambda: call(nblstm.Recurrent, **RECURRENT, cell="peephole", forget_bias=0.5, heads=1),
    "GRU.__init__": lambda: call(nblstm.GRU, **without_formulation(RECURRENT)),
    "RNN.__init__": lambda: call(nblstm.RNN, **RECURRENT, nonlinearity="relu"),
    "LSTMCell.__init__": lambda: call(nblstm.LSTMCell, **CELL, peephole=True, forget_bias=0.5),
    "GRUCell.__init__": lambda: call(nblstm.GRUCell, **without_formulation(CELL)),
    "RNNCell.__init__": lambda: call(nblstm.RNNCell, **CELL, nonlinearity="relu"),
    "Linear.__init__": lambda: call(nblstm.Linear, in_features=I, out_features=H, bias=True, dtype="float64", seed=3),
    "Embedding.__init__": lambda: call(nblstm.Embedding, num_embeddings=V, embedding_dim=H, dtype="float64", seed=3),
    "SequenceLayer.__call__": lambda: call(lstm(), x=X, state=pair(1, B, H), lengths=LENGTHS),
    "SequenceLayer.forward": lambda: forward(lstm(peephole=True), X, x=X, state=pair(1, B, H), lengths=LENGTHS),
    "SequenceLayer.backward": lambda: layer_backward(
        lstm(peephole=True), X, dy=numbers(T, B, H), dstate=pair(1, B, H), need_dx=True
    ),
    "Engine.to_formulation": lambda: call(lstm().to_formulation, formulation="concat"),
    "Layer.load_state_dict": lambda: call(lstm().load_state_dict, mapping=lstm(forget_bias=1.0).state_dict()),
    "DropoutKeys.set_dropout_state": lambda: call(lstm().set_dropout_state, state=lstm().dropout_state()),
    "Engine.stream": lambda: call(lstm(num_layers=2).stream, state=pair(2, H)),
    "Stream.__init__": lambda: call(Stream, layer=lstm(), state=pair(1, H)),
    "Stream.__call__": lambda: call(lstm().stream(), x=numbers(I)),
    "Stream.process": lambda: call(lstm().stream().process, x=numbers(T, I), out=numbers(T, H)),
    "Tape.states": lambda: call(lstm().forward(X)[-1].states, name="c", layer=0, direction=0),
    "Tape.hidden": lambda: call(lstm().forward(X)[-1].hidden, layer=0, direction=0),
    "Tape.cells": lambda: call(lstm().forward(X)[-1].cells, layer=0, direction=0),
    "Tape.saved": lambda: call(lstm().forward(X)[-1].saved, name="f", layer=0, direction=0),
    "Tape.gates": lambda: call(lstm().forward(X)[-1].gates, layer=0, direction=0),
    "CellLayer.__call__": lambda: call(cell(), x=X[0], state=pair(B, H)),
    "CellLayer.forward": lambda: forward(nblstm.RNNCell(I, H, seed=0), X[0], x=X[0], state=numbers(B, H)),
    "CellLayer.backward": lambda: layer_backward(cell(), X[0], dstate=pair(B, H), need_dx=True),
    "Linear.__call__": lambda: call(linear(), x=X),
    "Linear.forward": lambda: forward(linear(), X[0], x=X),
    "Linear.backward": lambda: layer_backward(linear(), X, dy=numbers(T, B, H), need_dx=True),
    "Embedding.__call__": lambda: call(embedding(), indices=tokens(T, B)),
    "Embedding.forward": lambda: forward(embedding(), tokens(T), indices=tokens(T, B)),
    "Embedding.backward": lambda: layer_backward(embedding(), tokens(T, B), dy=numbers(T, B, H)),
    "Sequential.__call__": lambda: call(sequential(), x=X, states=[pair(1, B, H), None], lengths=LENGTHS),
    "Sequential.forward": lambda: forward(sequential(), X, x=X, states=[pair(1, B, H), None], lengths=LENGTHS),
    "Sequential.backward": lambda: backward(
        sequential(), X, dy=numbers(T, B, 3), dstates=[pair(1, B, H), None], need_dx=True
    ),
    "Sequential.__init__": lambda: call(nblstm.Sequential, named=lstm()),
    "Layer.__init__": lambda: call(nblstm.Layer, shapes={"weight": (2, 3), "bias": (2,)}, dtype="float64"),
    "Composed.__init__": lambda: call(nblstm.Composed, parts={"a": linear(), "b": nblstm.Tanh()}),
    "Recorder.record": lambda: call((tanh := nblstm.Tanh()).record, tape=tanh.forward(X)[1], y=numbers(B), kept=3),
    "Recorder.replay": lambda: call(
        (tanh := nblstm.Tanh()).replay, tape=tanh.forward(X)[1], dy=numbers(T, B, I), name="dy"
    ),
    "Recorder.rewind": lambda: call(
        (net := nblstm.Composed({"a": linear()})).rewind, tape=net.record(None, X, (None, None))[1], count=2
    ),
    "FeatureLayer.__call__": lambda: call(nblstm.LayerNorm(I), x=X),
    "FeatureLayer.forward": lambda: forward(nblstm.LayerNorm(I), X[0], x=X),
    "FeatureLayer.backward": lambda: layer_backward(nblstm.LayerNorm(I), X, dy=numbers(T, B, I), need_dx=True),
    "LayerNorm.__init__": lambda: call(nblstm.LayerNorm, features=3, eps=0.5, dtype="float64"),
    "Dropout.__init__": lambda: call(nblstm.Dropout, p=0.5, seed=3),
    "Dropout.__call__": lambda: call(nblstm.Dropout(0.5, seed=3), x=X),
    "Pooling.__call__": lambda: call(attention_over_time(), x=X, lengths=LENGTHS),
    "Pooling.forward": lambda: forward(attention_over_time(), X, x=X, lengths=LENGTHS),
    "Pooling.backward": lambda: layer_backward(attention_over_time(), X, dy=numbers(B, I), need_dx=True),
    "LastOverTime.__init__": lambda: call(nblstm.LastOverTime, bidirectional=True, batch_first=True),
    "AttentionOverTime.__init__": lambda: call(
        nblstm.AttentionOverTime, features=3, units=2, batch_first=True, dtype="float64", seed=3
    ),
    "AttentionOverTime.weights": lambda: call(attention_over_time().weights, x=X, lengths=LENGTHS),
    "DotProductAttention.__init__": lambda: call(nblstm.DotProductAttention, batch_first=True),
    "AdditiveAttention.__init__": lambda: call(
        nblstm.AdditiveAttention, query_size=3, key_size=2, units=4, batch_first=True, dtype="float64", seed=3
    ),
    "Attention.__call__": lambda: call(
        nblstm.DotProductAttention(), query=X[0], keys=numbers(T, B, I, seed=1), values=X, lengths=LENGTHS
    ),
    "Attention.weights": lambda: call(
        nblstm.DotProductAttention().weights, query=X, keys=numbers(T, B, I, seed=1), lengths=LENGTHS
    ),
    "Attention.forward": lambda: forward(
        additive_attention(), X, X, query=X, keys=numbers(T, B, I, seed=1), values=X, lengths=LENGTHS
    ),
    "Attention.backward": lambda: layer_backward(additive_attention(), X, X, dy=numbers(T, B, I, seed=1)),
    "softmax": lambda: call(nblstm.softmax, x=X, axis=1),
    "log_softmax": lambda: call(nblstm.log_softmax, x=X, axis=1),
    "LanguageModel.__init__": lambda: call(nblstm.CharLM, **MODEL, vocabulary="abc", embedding_size=3),
    "LanguageModel.__call__": lambda: call(characters(), tokens=tokens(T, B), state=pair(1, B, H)),
    "LanguageModel.forward": lambda: forward(characters(), tokens(T, B), tokens=tokens(T, B), state=pair(1, B, H)),
    "LanguageModel.with_vocabulary": lambda: call(characters().with_vocabulary, vocabulary="abcxyz", seed=2),
    "LanguageModel.backward": lambda: backward(characters(), tokens(T, B), dlogits=numbers(T, B, V)),
    "LanguageModel.sample": lambda: call(
        characters().sample,
        prompt="ab",
        length=9,
        temperature=0.5,
        seed=2,
        top_k=3,
        top_p=0.75,
        stop="cc",
        skip_unknown=True,
    ),
    "Network.save": lambda: call(characters().save, path=FILES.new()),
    "Network.load": lambda: call(nblstm.CharLM.load, path=FILES["model"], cell=CELLS["lstm"]),
    "Composed.load_state_dict": lambda: call(characters().load_state_dict, mapping=characters().state_dict()),
    "SequenceClassifier.__init__": lambda: call(
        nblstm.SequenceClassifier, **MODEL, input_size=I, bidirectional=True, num_classes=3, classes=["a", "b", "c"]
    ),
    "SequenceClassifier.classify": lambda: call(classifier().classify, x=X, lengths=LENGTHS),
    "SequenceRegressor.__init__": lambda: call(
        nblstm.SequenceRegressor, **MODEL, input_size=I, bidirectional=True, output_size=3
    ),
    "SequenceTagger.__init__": lambda: call(
        nblstm.SequenceTagger,
        **MODEL,
        input_size=I,
        bidirectional=False,
        num_classes=3,
        classes=["a", "b", "c"],
        vocabulary=["<unk>", "x"],
    ),
    "SequenceTagger.__call__": lambda: call(tagger(), x=X, lengths=LENGTHS),
    "SequenceTagger.forward": lambda: forward(tagger(), X, x=X, lengths=LENGTHS),
    "SequenceTagger.backward": lambda: backward(tagger(), X, dz=numbers(T, B, 3), need_dx=True),
    "SequenceTagger.loss": lambda: call(
        tagger().loss, z=numbers(T, B, 3), targets=tokens(T, B) % 3, ignore_index=2, weight=positive(3)
    ),
    "SequenceTagger.encode": lambda: call(tagger(["<unk>", "x"]).encode, sentences=[["x", "y"], ["x"]]),
    "SequenceTagger.tag": lambda: call(tagger(["<unk>", "x"]).tag, sentences=[["x", "y"], ["x"]], batch_size=1),
    "SequenceModel.__call__": lambda: call(classifier(), x=X, lengths=LENGTHS),
    "SequenceModel.forward": lambda: forward(classifier(), X, x=X, lengths=LENGTHS),
    "SequenceModel.backward": lambda: backward(classifier(), X, dz=numbers(B, 3), need_dx=True),
    "SequenceClassifier.loss": lambda: call(
        classifier().loss, z=numbers(B, 3), targets=CLASSES, sample_weight=positive(B)
    ),
    "SequenceRegressor.loss": lambda: call(
        regressor().loss, z=numbers(B, 2), targets=numbers(B, 2, seed=1), sample_weight=positive(B)
    ),
    "cross_entropy": lambda: call(
        nblstm.cross_entropy,
        logits=numbers(T, B, V),
        targets=tokens(T, B),
        ignore_index=2,
        out=numbers(T, B, V, seed=1),
        weight=positive(V),
        sample_weight=positive(T, B),
    ),
    "mse_loss": lambda: call(
        nblstm.mse_loss,
        prediction=numbers(B, 2),
        target=numbers(B, 2, seed=1),
        out=numbers(B, 2, seed=2),
        sample_weight=positive(B),
    ),
    "f1_scores": lambda: call(
        metrics.f1_scores, truth=CLASSES, predicted=CLASSES[::-1].copy(), num_classes=3, sample_weight=positive(B)
    ),
    "r2_score": lambda: call(
        metrics.r2_score, truth=numbers(B, 2), predicted=numbers(B, 2, seed=1), sample_weight=positive(B)
    ),
    "class_weights": lambda: call(
        nblstm.class_weights, class_weight={"a": 0.5, "c": 2.0}, targets=CLASSES, classes=["a", "b", "c", "d", "e"]
    ),
    "clip_grad_norm": lambda: call(nblstm.clip_grad_norm, layers=[with_gradients()], max_norm=0.5),
    "thread_policy": lambda: call(policy_in_force, serial_below=5, team_rows=4, team_above=3, team_patience=2),
    "pad_sequences": lambda: call(nblstm.pad_sequences, sequences=[numbers(3, 2), numbers(1, 2)], dtype="float64"),
    "warmup_cosine": lambda: call(nblstm.warmup_cosine, peak=0.5, warmup=2, total=5, final=0.125),
    "SGD.__init__": lambda: call(nblstm.SGD, layers=[lstm()], lr=0.5, momentum=0.5, weight_decay=0.25, nesterov=True),
    "RMSprop.__init__": lambda: call(nblstm.RMSprop, layers=[lstm()], lr=0.5, alpha=0.5, eps=0.25, weight_decay=0.25),
    "Adam.__init__": lambda: call(nblstm.Adam, layers=[lstm()], lr=0.5, betas=(0.5, 0.25), eps=0.25, weight_decay=0.25),
    "AdamW.__init__": lambda: call(
        nblstm.AdamW, layers=[lstm()], lr=0.5, betas=(0.5, 0.25), eps=0.25, weight_decay=0.25
    ),
    "Optimizer.step": lambda: call(nblstm.Adam([with_gradients()]).step, lr=0.5),
    "Optimizer.load_state_dict": lambda: call(
        (optimizer := nblstm.Adam([lstm()])).load_state_dict, mapping=optimizer.state_dict()
    ),
    "gradcheck": lambda: call(
        nblstm.gradcheck,
        layer=nblstm.RNN(1, 2, dtype="float64", seed=0),
        x=numbers(2, 2, 1, dtype="float64"),
        state=numbers(1, 2, 2, dtype="float64"),
        lengths=np.array([1, 2]),
        entries=2,
        step=0.0001,
        tolerance=1e-06,
        seed=2,
    ),
    "to_pytorch": lambda: call(weights.to_pytorch, layer=lstm()),
    "from_pytorch": lambda: call(
        weights.from_pytorch,
        state_dict={f"a.{name}": tensor for name, tensor in lstm().state_dict().items()},
        prefix="a.",
        batch_first=True,
        nonlinearity="tanh",
    ),
    "to_keras": lambda: call(weights.to_keras, layer=lstm(bidirectional=True)),
    "from_keras": lambda: call(
        weights.from_keras,
        layers=weights.to_keras(lstm(bidirectional=True)),
        bidirectional=True,
        batch_first=False,
        activation="tanh",
        recurrent_activation="sigmoid",
    ),
    "to_tensorflow": lambda: call(weights.to_tensorflow, layer=lstm(), forget_bias=0.5),
    "from_tensorflow": lambda: call(weights.from_tensorflow, cells=weights.to_tensorflow(lstm()), forget_bias=0.5),
    "to_onnx": lambda: call(weights.to_onnx, model=lstm(), path=FILES.new(), lengths=True, streaming=False),
    "from_onnx": lambda: call(weights.from_onnx, path=onnx_file()),
    "to_rtneural": lambda: call(weights.to_rtneural, model=lstm(), path=FILES.new()),
    "from_rtneural": lambda: call(weights.from_rtneural, path=FILES["rtneural"], dtype="float64"),
    "to_nam": lambda: call(weights.to_nam, model=amplifier(), path=FILES.new(), states=[pair(1, H), None]),
    "from_nam": lambda: call(weights.from_nam, path=FILES["nam"], dtype="float64"),
    "atomic_write": lambda: call(write, path=FILES.new()),
    "save": lambda: call(weights.save, path=FILES.new(), tensors=TENSORS, metadata={"a": "b"}),
    "load": lambda: call(weights.load, path=FILES["tensors"]),
    "load_with_metadata": lambda: call(weights.load_with_metadata, path=FILES["tensors"]),
    "seal": lambda: call(weights.seal, data={"a": 1}, tensors=TENSORS),
    "unseal": lambda: call(weights.unseal, sealed=weights.seal(3, TENSORS), tensors=TENSORS),
    "adding": lambda: call(datasets.adding, rng=rng(), batch=2, steps=20),
    "brackets": lambda: call(datasets.brackets, rng=rng(), batch=2, steps=5, max_depth=3),
    "echo": lambda: call(datasets.echo, rng=rng(), batch=2, steps=5, lag=2, symbols=3),
    "remember": lambda: call(datasets.remember, rng=rng(), batch=3, lag=LENGTHS, symbols=3),
    "spike_timing": lambda: call(datasets.spike_timing, rng=rng(), batch=2, steps=9, gap=2),
    "temporal_order": lambda: call(datasets.temporal_order, rng=rng(), batch=2, steps=20, marks=3),
    "encode": lambda: call(datasets.encode, text="cab", vocabulary="abc", dtype="uint8"),
    "hold_out": lambda: call(datasets.hold_out, sentences=datasets.sentences()[:12]),
    "encode_words": lambda: call(datasets.encode_words, text="a bee", vocabulary=("<unk>", "a", " bee"), dtype="uint8"),
    "load_text": lambda: call(datasets.load_text, source=FILES["text"], encoding="utf-8"),
    "read_text": lambda: call(datasets.read_text, path=FILES["text"], encoding="utf-8"),
    "read_idx": lambda: call(datasets.read_idx, path=FILES["idx"]),
    "mnist": lambda: call(datasets.mnist, part="test", folder=str(FILES.path)),
    "read_tagged": lambda: call(datasets.read_tagged, source=FILES["tagged"], encoding="utf-8"),
    "read_tokens": lambda: call(datasets.read_tokens, source=FILES["tagged"], encoding="utf-8"),
    "token_vocabulary": lambda: call(datasets.token_vocabulary, sentences=[["a", "b", "a"], ["b"]], size=3),
    "sentences": lambda: call(datasets.sentences, language="zh"),
    "split_words": lambda: call(datasets.split_words, text="a bee, a"),
    "split": lambda: call(datasets.split, tokens=tokens(30)),
    "streams": lambda: call(datasets.streams, tokens=tokens(30), batch_size=3, window=4),
    "text_sources": lambda: call(datasets.text_sources, source=FILES["text"]),
    "word_vocabulary": lambda: call(datasets.word_vocabulary, text="a bee", size=3),
    "vocabulary_of": lambda: call(datasets.vocabulary_of, text="banana"),
    "TextTrainer.__init__": text_trainer,
    "BatchTrainer.__init__": batch_trainer,
    "TagTrainer.__init__": tag_trainer,
    "Trainer.step": lambda: trained("step"),
    "Trainer.load_state_dict": lambda: trained("load_state_dict"),
    "evaluate": lambda: call(training.evaluate, model=characters(), tokens=tokens(30), batch_size=2, window=5),
    "predict": lambda: call(training.predict, model=classifier(), x=X, lengths=LENGTHS, batch_size=2),
    "TextSettings.__init__": lambda: call(
        jobs.TextSettings,
        **SETTINGS,
        text="file",
        encoding="utf-8",
        tokens="words",
        vocabulary_size=50,
        window=7,
        embedding_size=3,
    ),
    "SequenceSettings.__init__": lambda: call(
        jobs.SequenceSettings, **SETTINGS, bidirectional=True, class_weight={1: 2.0}, target_scale=2.5
    ),
    "ImageSettings.__init__": lambda: call(
        jobs.ImageSettings,
        **SETTINGS,
        bidirectional=True,
        class_weight="balanced",
        target_scale=2.5,
        images="mnist",
        folder="here",
    ),
    "TaggingSettings.__init__": lambda: call(
        jobs.TaggingSettings,
        **SETTINGS,
        bidirectional=True,
        class_weight={1: 2.0},
        target_scale=2.5,
        embedding_size=3,
        ignore_index=7,
    ),
    "TaggedTextSettings.__init__": lambda: call(
        jobs.TaggedTextSettings,
        **SETTINGS,
        bidirectional=True,
        class_weight="balanced",
        target_scale=2.5,
        embedding_size=3,
        ignore_index=7,
        file="file",
        validation_file="other",
        encoding="utf-8",
        vocabulary_size=50,
    ),
    "TaggingJob.__init__": tagging_job,
    "tagged_sequences": lambda: call(
        jobs.tagged_sequences, sentences=[["a", "b"], ["b"]], tags=[["X", "Y"], ["X"]], vocabulary=["<unk>", "a"]
    ),
    "TaggedTextJob.__init__": lambda: call(
        jobs.TaggedTextJob,
        settings=jobs.TaggedTextSettings(file=FILES["tagged"], hidden_size=2, batch_size=1),
    ),
    "TextJob.__init__": lambda: call(
        jobs.TextJob,
        settings=jobs.TextSettings(text=FILES["text"], hidden_size=2, num_layers=1, batch_size=1, window=5),
        shorten=["batch_size", "window"],
    ),
    "ImageJob.__init__": lambda: call(
        jobs.ImageJob,
        settings=jobs.ImageSettings(hidden_size=2, images="mnist", folder=str(FILES.path), batch_size=1),
    ),
    "RegressionJob.__init__": lambda: call(jobs.RegressionJob, **job_data(classes=False)),
    "ClassificationJob.__init__": lambda: call(jobs.ClassificationJob, **job_data(classes=True)),
    "Run.create": lambda: call(
        create_run, folder=FILES.new(), job=jobs.RegressionJob(**job_data(classes=False)), numbered=True
    ),
    "Run.resume": lambda: call(resume_run, folder=FILES["run"], kind=jobs.RegressionJob, given={"hidden_size": 2}),
    "baselines": lambda: call(baselines.baselines, training=tokens(30), validation=tokens(20), vocabulary_size=V),
    "ngram_probabilities": lambda: call(
        baselines.ngram_probabilities, training=tokens(30), validation=tokens(20), vocabulary_size=V, order=3
    ),
    "activation_over_text": lambda: call(
        plot.activation_over_text,
        text="a b",
        values=NUMBERS,
        title="t",
        width=2,
        limits=(-1.5, 2.5),
        label="l",
        ax=axes(),
    ),
    "gates_over_text": lambda: call(
        plot.gates_over_text,
        text="a b",
        gates=numbers(B, 2, dtype="float64"),
        name="i",
        title="t",
        limits=(-1.5, 2.5),
        ax=axes(),
    ),
    "saliency_over_text": lambda: call(
        plot.saliency_over_text,
        text="a b",
        saliency=NUMBERS**2,
        predicted="c",
        title="t",
        width=2,
        log=True,
        label="l",
        ax=axes(),
    ),
    "confusion_matrix": lambda: call(
        plot.confusion_matrix,
        truth=CLASSES,
        predicted=CLASSES[::-1].copy(),
        classes=["a", "b", "c"],
        title="t",
        ax=axes(),
    ),
    "curves": lambda: call(
        plot.curves,
        x=NUMBERS,
        lines=LINES,
        xlabel="x",
        ylabel="y",
        title="t",
        baselines=RATES,
        log=False,
        colours={"a": "red", "b": "#00ff00"},
        ax=axes(),
    ),
    "gradient_over_lag": lambda: call(
        plot.gradient_over_lag, lag=NUMBERS, lines=LINES, ax=axes(), title="t", ylabel="y"
    ),
    "loss_curves": lambda: call(
        plot.loss_curves, steps=LENGTHS, training=NUMBERS, validation=NUMBERS, baselines=RATES, ax=axes(), measure="m"
    ),
    "roofline": lambda: call(
        plot.roofline, points={"p": (2.0, 0.5)}, peaks=RATES, bandwidths=RATES, title="t", ax=axes()
    ),
    "weight_blocks": lambda: call(plot.weight_blocks, layer=lstm(), ax=axes()),
    "draw_backward": lambda: call(plot.draw_backward, kind="rnn", ax=axes()),
    "draw_lstm": lambda: call(plot.draw_lstm, stage=2, highlight="i", ax=axes()),
    "draw_neuron": lambda: call(plot.draw_neuron, activation="tanh", ax=axes()),
    "draw_rnn_cell": lambda: call(plot.draw_rnn_cell, ax=axes()),
    "draw_two_formulations": lambda: call(plot.draw_two_formulations, ax=axes()),
    "draw_unrolled": lambda: call(
        plot.draw_unrolled, steps=4, cell="lstm", truncate_after=2, bidirectional=False, ax=axes()
    ),
}
