"""What the public functions return, said to a type checker: package/test_wheel.py has mypy read it, none runs it."""

from typing import Any, assert_type

import numpy as np

import nblstm
from nblstm.cells import CELLS
from nblstm.datasets import encode, streams
from nblstm.jobs import RegressionJob, Sequences, SequenceSettings
from nblstm.runs import Run
from nblstm.training import TextTrainer

Pair = tuple[np.ndarray, np.ndarray]

x = np.zeros((5, 3, 7), "float32")

lstm = nblstm.LSTM(7, 4, num_layers=2, bidirectional=True, peephole=True, checkpoint=2, seed=0)
assert_type(lstm(x), tuple[np.ndarray, Pair])
y, (h_n, c_n), tape = lstm.forward(x, (np.zeros((4, 3, 4), "float32"), None), lengths=[5, 4, 3])
assert_type(h_n, np.ndarray)
assert_type(lstm.backward(y, tape, (h_n, c_n), grads=lstm.new_grads()), tuple[np.ndarray | None, Pair])
assert_type(lstm.params["weight_ih_l0"], np.ndarray)
assert_type(lstm.state_dict(), dict[str, np.ndarray])
assert_type(lstm.to_formulation("concat"), nblstm.LSTM)
assert_type(lstm.num_parameters, int)
with lstm.editing() as parameters:
    assert_type(parameters["weight_ih_l0"], np.ndarray)

rnn = nblstm.RNN(7, 4, nonlinearity="relu", formulation="concat", dtype="float32")
assert_type(rnn(x), tuple[np.ndarray, np.ndarray])
y, h_n, tape = rnn.forward(x, h_n)
assert_type(rnn.backward(None, tape, h_n), tuple[np.ndarray | None, np.ndarray])
assert_type(rnn.stream()(x[0, 0]), np.ndarray)

assert_type(nblstm.GRU(7, 4)(x), tuple[np.ndarray, np.ndarray])
assert_type(nblstm.GRUCell(7, 4)(x[0]), np.ndarray)
slstm = nblstm.Recurrent(CELLS["slstm"], 7, 4)
assert_type(slstm.cell, nblstm.Cell)
assert_type(slstm(x), tuple[np.ndarray, Any])
gru = nblstm.GRU(7, 4, bidirectional=True)
assert_type(gru(x), tuple[np.ndarray, np.ndarray])

lstm_cell, rnn_cell = nblstm.LSTMCell(7, 4), nblstm.RNNCell(7, 4)
assert_type(lstm_cell(x[0], (h_n[0], None)), Pair)
assert_type(rnn_cell(x[0]), np.ndarray)
state, tape = lstm_cell.forward(x[0])
assert_type(lstm_cell.backward(state, tape), tuple[np.ndarray | None, Pair])

linear, embedding = nblstm.Linear(4, 2), nblstm.Embedding(10, 7)
z, linear_tape = linear.forward(h_n)
assert_type(linear.backward(z, linear_tape), np.ndarray | None)
assert_type(embedding(np.array([[1, 2]])), np.ndarray)

drop, mean = nblstm.Dropout(0.5), nblstm.MeanOverTime()
z, record = drop.forward(z)
assert_type(drop.backward(z, record), np.ndarray | None)
assert_type(mean(x, [5, 4, 3]), np.ndarray)
context, record = nblstm.DotProductAttention().forward(x, x, lengths=[5, 4, 3])
assert_type(context, np.ndarray)
assert_type(nblstm.softmax(z), np.ndarray)
net = nblstm.Sequential(lstm=nblstm.LSTM(7, 4), mean=nblstm.MeanOverTime(), linear=nblstm.Linear(4, 2))
assert_type(net(x)[0], np.ndarray)
assert_type(net.params, dict[str, np.ndarray])
nblstm.Adam(net).zero_grad()

assert_type(nblstm.cross_entropy(z, np.zeros(z.shape[:-1], int)), tuple[float, np.ndarray])
assert_type(nblstm.mse_loss(z, z), tuple[float, np.ndarray])
assert_type(nblstm.clip_grad_norm([lstm, rnn, linear], 1.0), float)
for optimizer in (nblstm.SGD([lstm], 0.1), nblstm.Adam([lstm]), nblstm.AdamW([lstm]), nblstm.RMSprop([lstm])):
    optimizer.step()
    assert_type(optimizer.state_dict(), dict[str, np.ndarray])

nblstm.weights.save("lstm.safetensors", lstm.state_dict())
assert_type(nblstm.weights.load("lstm.safetensors"), dict[str, np.ndarray])
assert_type(nblstm.weights.from_pytorch(nblstm.weights.to_pytorch(rnn)), nblstm.LSTM | nblstm.GRU | nblstm.RNN)
assert_type(nblstm.weights.to_keras(lstm), list[list[np.ndarray]])
assert_type(nblstm.weights.from_onnx("model.onnx"), dict[str, nblstm.LSTM | nblstm.GRU | nblstm.RNN])

writer = nblstm.CharLM("abcd", 4, 8, 1, seed=0)
trainer = TextTrainer(writer, nblstm.Adam(writer.layers), streams(encode("abcd" * 9, "abcd"), 2, 9), window=9)
assert_type(trainer.step(), float)
assert_type(writer.sample("a", 9), str)
assert_type(nblstm.CharLM.load("model.safetensors"), nblstm.CharLM)

known, unknown = Sequences(x, np.zeros(3)), Sequences(x, np.zeros(3))
run = Run.create("runs/mine", RegressionJob(SequenceSettings(epochs=1), known, unknown))
assert_type(run.train(), bool)
assert_type(nblstm.gradcheck(lstm, x).error, float)
