"""Draw the course's five animations and their stills: python tools/draw_animations.py [NAME ...] (two minutes).

Each is a function of time that draws a whole frame anew. All numbers in them are computed by nblstm and NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from moving_pictures import Animation, Moment, Point, glide, part, record, signed
from tqdm import tqdm

import nblstm
from nblstm.plot.colours import BLUE, COLOURS, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION
from nblstm.plot.drawings.pen import FADED, tint

FOLDER = Path(__file__).resolve().parents[1] / "course" / "pictures"


# ---- an LSTM cell ----


def cell() -> Animation:
    """One unit whose weights are set by hand: at x = 1 it replaces what it holds, at x = 0 it keeps it."""
    lstm = nblstm.LSTM(1, 1, dtype="float64", seed=0)
    with lstm.editing() as p:
        p["weight_ih_l0"][:, 0], p["weight_hh_l0"][:, 0] = (5, -5, 2, 0.5), 0.5
        p["bias_ih_l0"][:], p["bias_hh_l0"][:] = (-2.5, 2.5, -0.3, 1), 0
    x, h_0, c_0 = np.array([1.0, 0.0]).reshape(2, 1, 1), np.full((1, 1, 1), -0.6), np.full((1, 1, 1), -0.9)
    tape = lstm.forward(x, (h_0, c_0))[2]
    gates, c, h = tape.gates()[:, 0, :, 0], tape.cells()[:, 0, 0], tape.hidden()[:, 0, 0]  # (2, 4), (3,), (3,)
    belt, bus, middle, places = 36.5, 11.5, 19.0, {"f": 20.0, "i": 32.5, "g": 45.0, "o": 57.5}
    names, add, out = {"f": "forget", "i": "input", "g": "candidate", "o": "output"}, 38.7, 64.5
    titles = ["Step 1: the old memory is replaced", "Step 2: the memory is kept"]
    begins = [[0, 1, 2.1, 3.3, 4.5, 5.7], [7.6, 7.6, 8.8, 8.8, 8.8, 10.2]]  # of x, gates, kept, written, c, h

    def draw(pen: Moment, s: float) -> None:
        t = int(s >= 7.6)
        i, f, g, o = gates[t]
        stage, moved = sum(s >= begin for begin in begins[t]) - 1, part(s, 6.9, 0.7) * (t == 0)
        old, new, shown, kept, written = (signed(value) for value in (c[t], c[t + 1], h[t + 1], f * c[t], i * g))
        captions = [
            f"x = {signed(x[t, 0, 0])} and the old h = {signed(h[t])} come in",
            "x and h set three gates and a candidate",
            f"keep:  f × c = {signed(f)} × {old} = {kept}",
            f"write:  i × g = {signed(i)} × {signed(g)} = {written}",
            f"new c:  {kept} + {written} = {new}".replace("+ −", "− "),
            f"show:  h = o × tanh(c) = {signed(o)} × {signed(np.tanh(c[t + 1]))} = {shown}",
        ]
        pen.say(titles[t], "the new c and h are the next step's old ones" if moved else captions[stage])

        def live(begin: int) -> bool:
            alive = stage >= begin and not moved
            pen.strength = 1.0 if alive else FADED
            return alive

        pen.wall(39.5, 23.7, 59, 34.6)
        live(0)
        pen.line([(1, bus), (14, bus)], COLOURS["h"], width=3.5, head=False)
        pen.line([(14, 6), (14, bus)], COLOURS["x"], width=3.5, head=False)
        pen.dot(14, bus, radius=0.8)
        pen.line([(1, belt), (places["f"] - 2, belt)], COLOURS["c"], width=7, head=False)
        known = live(1)
        pen.line([(14, bus), (places["o"], bus)], INK, head=False, width=2)
        for letter, number in zip("figo", (f, i, g, o), strict=True):
            pen.line([(places[letter], bus), (places[letter], middle - 3.9)], INK, width=2)
            pen.box(places[letter], middle, 12, 7.8, COLOURS[letter], line=2.4)
            pen.words(places[letter], middle + 1.3, names[letter], size=14, va="baseline")
            value = f"{letter} = {signed(number)}" if known else letter
            pen.words(places[letter], middle - 2.3, value, size=14, bold=True, va="baseline")
        if live(2):
            pen.words(28.4, belt + 3, kept, size=16, bold=True)
        pen.line([(places["f"], middle + 3.9), (places["f"], belt - 2)], COLOURS["f"], width=3)
        pen.line([(places["f"] + 2, belt), (add - 2, belt)], COLOURS["c"], width=7, head=False)
        pen.disc(places["f"], belt, 2, COLOURS["f"], "×", size=18)
        if live(3):
            pen.words(40, 32.1, written, size=16, ha="left", bold=True)
        for letter, side in (("i", -2), ("g", 2)):
            pen.line([(places[letter], middle + 3.9), (places[letter], 28), (add + side, 28)], COLOURS[letter], width=3)
        pen.line([(add, 30), (add, belt - 2)], COLOURS["c"], width=3)
        pen.disc(add, 28, 2, COLOURS["i"], "×", size=18)
        live(4)
        pen.line([(add + 2, belt), (79, belt)], COLOURS["c"], width=7)
        pen.disc(add, belt, 2, COLOURS["c"], "+", size=18)
        live(5)
        pen.line([(out, belt), (out, 29.2)], COLOURS["c"], width=3)
        pen.words(60.9, 32.2, "tanh", size=14)
        pen.line([(places["o"], middle + 3.9), (places["o"], 27), (out - 2, 27)], COLOURS["o"], width=3)
        pen.line([(out, 25), (out, bus), (79, bus)], COLOURS["h"], width=3.5)
        pen.disc(out, 27, 2, COLOURS["o"], "×", size=18)
        pen.strength = 1.0
        pen.words(15.5, 7.8, "x" if moved else f"x = {signed(x[t, 0, 0])}", size=16, ha="left", bold=True)
        for height, lift, name, before, after, begin in (
            (belt, 3, "c", old, new, 4), (bus, 2.2, "h", signed(h[t]), shown, 5),
        ):  # fmt: skip
            pen.words(5, height - 3, f"old {name}", size=14)
            pen.words(74.5, height - 3, f"new {name}", size=14)
            if not moved:
                pen.words(5, height + lift, before, size=16, bold=True)
            if stage >= begin:
                pen.words(*glide((74.5, height + lift), (5, height + lift), moved), after, size=16, bold=True)

    return Animation(draw, 12, 6.5)


# ---- the conveyor while a sentence is read ----

NAMES = ["Tom", "Anna", "Ben", "Mia"]
WORDS = [*NAMES, *["lost", "a", "key", "and", "found", "it", "in", "the", "hall", "then", "saw", "who", "was", "late"]]
SENTENCE = ["Tom", "lost", "a", "key", "and", "Anna", "found", "it"]


def whom_it_is_about() -> tuple[nblstm.LSTM, nblstm.Linear]:
    """An LSTM of one unit that has learnt to say, at each of 30 random words, which of four names came last."""
    rng = np.random.default_rng(1)
    lstm, head = nblstm.LSTM(len(WORDS), 1, forget_bias=1, seed=1), nblstm.Linear(1, len(NAMES), seed=1)
    optimiser = nblstm.Adam([lstm, head], lr=2e-2)
    for _ in tqdm(range(3000), desc="conveyor, training", unit="step"):
        words, named = rng.integers(len(NAMES), len(WORDS), (30, 64)), rng.random((30, 64)) < 0.1  # (T, B)
        named[0] = True
        words[named] = rng.integers(0, len(NAMES), named.sum())
        latest = np.maximum.accumulate(np.where(named, np.arange(30)[:, None], 0), axis=0)
        y, _, tape = lstm.forward(np.eye(len(WORDS), dtype="float32")[words])
        logits, head_tape = head.forward(y.reshape(-1, 1))
        _, dlogits = nblstm.cross_entropy(logits, np.take_along_axis(words, latest, 0).ravel())
        lstm.backward(head.backward(dlogits, head_tape).reshape(y.shape), tape, need_dx=False)
        optimiser.step()
        lstm.zero_grad()
        head.zero_grad()
    return lstm, head


def conveyor() -> Animation:
    """What the trained net's gates do at each word, and what the belt holds."""
    lstm, head = whom_it_is_about()
    x = np.eye(len(WORDS), dtype="float32")[[WORDS.index(word) for word in SENTENCE]][:, None]  # (T, 1, 18)
    y, _, tape = lstm.forward(x)
    gates, c = tape.gates()[:, 0, :, 0], tape.cells()[:, 0, 0]  # (T, 4), (T + 1,)
    says = [NAMES[k] for k in head(y[:, 0]).argmax(axis=1)]
    belt, high, low, pitch, pace = 26.5, 7.2, 14.0, 8.4, 1.2  # middle and half width of the belt; input gates; seconds
    places = 16.3 + pitch * np.arange(len(SENTENCE))

    def bar(pen: Moment, place: float, middle: float, held: float, strength: float = 1.0) -> None:
        tall = abs(held) * 4.9
        if tall > 0.1:
            pen.block(place - 3, middle - tall * (held < 0), 6, tall, BLUE if held > 0 else ORANGE, strength)

    def draw(pen: Moment, s: float) -> None:
        t = min(int(s / pace), len(SENTENCE) - 1)
        start = pace * t
        opened, carried, pushed = part(s, start, 0.3), part(s, start + 0.3, 0.4), part(s, start + 0.65, 0.3)
        i, f, g, _ = gates[t]
        does = ("drops the old" if t else "has nothing to keep") if f < 0.5 else "keeps"
        writes = "writes the new" if i > 0.5 else "writes little"
        pen.say(
            "A trained LSTM, one unit: whom is it about?", f"{SENTENCE[t]}:  f = {f:.2f} {does},  i = {i:.2f} {writes}"
        )
        for height, label, colour in (
            (38.5, "it says", INK), (belt, "memory c", INK), (belt - 4, "forget f", VERMILION), (low, "input i", GREEN),
        ):  # fmt: skip
            pen.words(10.6, height, label, size=14, ha="right", colour=colour)
        pen.block(11.4, belt - high, 68, 2 * high, PURPLE, 0.12)
        pen.block(11.4, belt - 0.12, 68, 0.24, GREY, 0.8)
        for k, word in enumerate(SENTENCE):
            colour = INK if k <= t else "#8a8a8a"
            pen.words(places[k], 7.8, word, size=15, bold=k == t, colour=colour, va="baseline")
            if k > t:
                continue
            share = opened if k == t else 1.0
            for side in (-1, 1):  # the jaws of the forget gate, across the belt, and of the input gate, below it
                inner, outer = sorted(
                    (belt + side * (1 + share * (gates[k, 1] - 1)) * high, belt + side * (high + 0.7))
                )
                pen.block(places[k] - 4.65, inner, 0.9, outer - inner, VERMILION, 1)
                inner, outer = sorted((places[k] + side * share * gates[k, 0] * 2.7, places[k] + side * 3.2))
                pen.block(inner, low - 0.6, outer - inner, 1.2, GREEN, 1)
            if k < t or pushed == 1:
                bar(pen, places[k], belt, c[k + 1], 1.0 if k == t else 0.45)
                pen.words(places[k], belt + (1.7 if c[k + 1] < 0 else -1.7), signed(c[k + 1]), size=14)
                pen.words(places[k], 38.5, says[k], size=15, bold=k == t)
        if carried > 0 and pushed < 1:
            bar(pen, places[t] - pitch * (1 - carried), belt, c[t] * (1 + carried * (f - 1)))
        if 0 < pushed < 1:
            bar(pen, places[t], low + 6 + pushed * (belt - low - 6), i * g)

    return Animation(draw, pace * len(SENTENCE) + 1.9, pace * len(SENTENCE) + 1)


# ---- gradients on their way back ----


def gradients() -> Animation:
    """How strongly the last h depends on the input of each earlier step: the median of ten freshly drawn nets."""
    lags, inputs, units = 30, 17, 63
    nets = {
        "plain\nRNN": lambda seed: nblstm.RNN(inputs, units, dtype="float64", seed=seed),
        "LSTM,\n$b = 0$": lambda seed: nblstm.LSTM(inputs, units, dtype="float64", seed=seed),
        "LSTM,\n$b = \\ln 30$": lambda seed: nblstm.LSTM(
            inputs, units, forget_bias=np.log(lags), dtype="float64", seed=seed
        ),
    }

    def reach(net: nblstm.LSTM | nblstm.RNN, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        tape = net.forward(rng.standard_normal((lags + 1, 1, inputs)))[2]
        dh = rng.standard_normal((1, 1, units))
        dx, _ = net.backward(None, tape, (dh, None) if isinstance(net, nblstm.LSTM) else dh)  # (T, 1, I)
        size = np.linalg.norm(dx, axis=(1, 2))[::-1]
        return size / size[0]

    def number(share: float) -> str:
        power = int(np.floor(np.log10(share)))
        digits = f"{share:.2f}" if share >= 0.01 else rf"{share / 10.0**power:.0f} \cdot 10^{{{power}}}"
        return rf"$\mathbf{{{digits}}}$"

    shares = {name: np.median([reach(make(s), s) for s in range(10)], axis=0) for name, make in nets.items()}
    right, step = 66.5, 1.8

    def draw(pen: Moment, s: float) -> None:
        come = min(max(s - 0.8, 0) / 0.28, lags)
        lag = int(come)
        back = "the last step" if lag == 0 else f"{lag} step{'s' * (lag > 1)} back"
        pen.say("The gradient walks back in time", f"{back}: what is left of the gradient")
        for floor, (name, kept), colour in zip((32.4, 20.5, 8.6), shares.items(), (GREY, SKY, BLUE), strict=True):
            pen.words(6, floor + 3.5, name, size=15)
            pen.block(right - lags * step - 0.9, floor - 0.3, (lags + 1) * step, 0.3, GREY, 0.6)
            for k in range(lag + 1):
                pen.block(right - k * step - 0.75, floor, 1.5, kept[k] * 7.2, colour, 1)
            pen.dot(right - come * step, floor - 1.5, VERMILION, 0.9)
            pen.words(73.6, floor + 2.5, number(kept[lag]), size=17)

    return Animation(draw, 11.6, 11)


# ---- transpose against reshape ----


def transpose() -> Animation:
    """Two sequences of three steps with two features, numbered as they lie in memory, brought into (T, B, F)."""
    x = np.arange(12).reshape(2, 3, 2)  # (B, T, F)
    ways = {
        "transpose(1, 0, 2)": (x.transpose(1, 0, 2), 15.0, 1.4),
        "reshape(3, 2, 2)": (x.reshape(3, 2, 2), 56.0, 4.6),
    }
    wide, rows = 12.4, (18.0, 13.0, 8.0)
    captions = {
        0.0: "two sequences, a and b, of three steps with two features",
        1.4: "transpose: each step gets its own, one of a and one of b",
        4.6: "reshape: the numbers 0 to 11 in their old order, cut elsewhere",
        7.8: "framed: what the net reads as its first sequence",
        9.4: "the same shape, no error, and a sequence mixed of a and b",
    }

    def box(pen: Moment, place: Point, pair: np.ndarray, height: float) -> None:
        b = int(pair[0] > 5)
        pen.box(*place, wide - 1.4, 4.2, (BLUE, ORANGE)[b], fill=tint((SKY, ORANGE)[b], 0.3), line=2, zorder=height)
        pen.words(*place, f"{'ab'[b]}: {pair[0]} {pair[1]}", size=15, bold=True)
        pen.ax.texts[-1].set_zorder(height + 0.5)

    def source(b: int, t: int) -> Point:
        return 34.5 + wide * t, (35.8, 30.8)[b]

    def draw(pen: Moment, s: float) -> None:
        pen.say("From (B, T, F) to (T, B, F)", captions[max(begin for begin in captions if begin <= s)])
        pen.words(25, 33.3, "x (2, 3, 2)", size=15, ha="right")
        for t in range(3):
            pen.words(source(0, t)[0], 39.6, f"step {t}", size=14, colour=GREY)
            for b in range(2):
                box(pen, source(b, t), x[b, t], 4)
        for name, (array, left, begin) in ways.items():
            if s < begin:
                continue
            pen.words(left + wide / 2, 23, name, size=15, bold=True)
            for t in range(3):
                pen.words(left - wide / 2 - 0.8, rows[t], f"step {t}", size=14, ha="right", colour=GREY)
            for t, b in np.ndindex(3, 2):
                moved = part(s, begin + 0.3 + 0.4 * (2 * t + b), 0.6)
                if moved > 0:
                    home = source(*np.argwhere(x == array[t, b, 0])[0, :2])
                    box(pen, glide(home, (left + wide * b, rows[t]), moved), array[t, b], 7 if moved < 1 else 4)
            if s >= 7.8:
                pen.box(left, rows[1], wide - 0.4, 15.4, INK, fill="none", line=3.5, zorder=5)

    return Animation(draw, 12, 11)


# ---- both directions ----


def both_directions() -> Animation:
    """Two readers of one sentence, each from its own end, and the halves of y that they fill."""
    words = ["the", "children", "ride", "a", "horse"]
    last, units, pace = len(words) - 1, 2, 1.25
    lstm = nblstm.LSTM(len(words), units, bidirectional=True, dtype="float64", seed=3)
    y = lstm(2 * np.eye(len(words))[:, None])[0].reshape(-1, 2, units)  # (T, halves, H)
    end, pitch, colours = 0.6 + pace * len(words), 12.9, (BLUE, VERMILION)
    places, tops, tracks = 20.2 + pitch * np.arange(len(words)), (36.6, 26.6), (17.8, 7.0)

    def draw(pen: Moment, s: float) -> None:
        move = min(int(max(s - 0.6, 0) / pace), last)  # number of words that each has behind it
        arrived = part(s, 0.6 + pace * move, 0.5)
        count = move + (arrived == 1)
        caption = f"each has read {count} word{'s' * (count > 1)}"
        if count == 0:
            caption = "one sentence, and two readers that know nothing of each other"
        if 2 * count > len(words):
            caption += ": y is whole where both have been"
        if s >= end + 0.8:
            caption = "framed: h_n, each reader's last state, at opposite ends of y"
        pen.say("Two readers fill y, each from its own end", caption)
        for half, name in enumerate(("forward\nhalf of y", "backward\nhalf of y")):
            pen.words(12.6, tops[half] - 2.2, name, size=14, ha="right", colour=colours[half])
            way = 1 - 2 * half
            at = places[last * half] + way * pitch * max(move - 1 + arrived, 0)
            pen.line([(at - 5 * way, tracks[half]), (at + 5 * way, tracks[half])], colours[half], width=9)
        for place, word in zip(places, words, strict=True):
            pen.words(place, 11.7, word, size=15, bold=True, va="baseline")
        for t, half in np.ndindex(len(words), 2):
            turn = last - t if half else t
            read = turn < move or (turn == move and arrived == 1)
            for k in range(units):
                height = tops[half] - 4.4 * k
                pen.block(places[t] - 5.9, height - 2.1, 11.8, 4.2, *((colours[half], 0.25) if read else (GREY, 0.12)))
                if read:
                    pen.words(places[t], height, signed(y[t, half, k]), size=15)
            if s >= end + 0.8 and turn == last:
                pen.box(places[t], tops[half] - 2.2, 12.2, 9, INK, fill="none", line=3.5, zorder=5)

    return Animation(draw, end + 3.6, end + 3)


ANIMATIONS: dict[str, Callable[[], Animation]] = {
    each.__name__: each for each in (cell, conveyor, gradients, transpose, both_directions)
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or ANIMATIONS:
        record(ANIMATIONS[name](), FOLDER / f"{name}.gif")
