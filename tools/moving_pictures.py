"""What the course's animations share: a sheet for each moment, gentle movements, and the files that come of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from nblstm.plot.drawings.pen import Pen

WIDTH, HEIGHT = 80, 48  # in tenths of an inch: 800 x 480 pixels, read at 390 on a phone
FPS = 10
Point = tuple[float, float]


class Moment(Pen):
    """A pen on an empty sheet, which says above what the picture is, and below what happens at this moment."""

    def __init__(self, figure: Figure) -> None:
        figure.clear()
        super().__init__(figure.add_axes((0, 0, 1, 1)), WIDTH, HEIGHT, "")

    def say(self, title: str, caption: str) -> None:
        self.words(2, HEIGHT - 3, title, size=17, ha="left", bold=True)
        self.words(WIDTH / 2, 1.9, caption, size=16, va="baseline")


class Animation(NamedTuple):
    """`draw(pen, s)` draws the moment of `s` seconds; the still for print shows that of `still` seconds."""

    draw: Callable[[Moment, float], None]
    seconds: float
    still: float


def part(s: float, start: float, seconds: float) -> float:
    """How far a movement from `start` on has come: 0..1, beginning and ending gently."""
    share = min(max((s - start) / seconds, 0), 1)
    return share * share * (3 - 2 * share)


def glide(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def signed(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")


def record(animation: Animation, file: Path) -> None:
    """Write the GIF, and the still beside it as PNG.

    GIF, not WebP, whose type Jupyter's server knows only if Python or the system does. All frames have one palette, the
    most frequent colours as they are, and no dithering: what stands still neither flickers nor costs space.
    """
    figure, frames = Figure(figsize=(WIDTH / 10, HEIGHT / 10), dpi=100), []
    canvas = FigureCanvasAgg(figure)
    for k in tqdm(range(round(animation.seconds * FPS)), desc=file.stem, unit="frame"):
        animation.draw(Moment(figure), k / FPS)
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    sample = Image.fromarray(np.vstack([np.asarray(image) for image in frames[::8]]))
    colours: list[np.ndarray] = []
    for _, colour in sorted(sample.getcolors(sample.width * sample.height), reverse=True):
        if all(np.abs(np.subtract(colour, other)).max() > 7 for other in colours):  # Pillow looks no closer
            colours.append(np.array(colour))
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate(colours[:255]).tolist())
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in frames]
    first.save(file, save_all=True, append_images=others, duration=1000 // FPS, loop=0)
    animation.draw(Moment(figure), animation.still)
    figure.savefig(file.with_suffix(".png"), dpi=160)
    for written in (file, file.with_suffix(".png")):
        print(f"{written.name}: {written.stat().st_size / 1024:.0f} KB")
