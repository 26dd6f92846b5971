"""The next six hours of a temperature from the last two days, scaled for the net, judged in degrees."""

import numpy as np

from nblstm.jobs import RegressionJob, Sequences, SequenceSettings
from nblstm.runs import Run


def temperature(hours=3000):
    """Of each hour in degrees: a day's course, and weather that comes and goes."""
    rng, weather = np.random.default_rng(0), np.zeros(hours)
    for hour in range(1, hours):
        weather[hour] = 0.99 * weather[hour - 1] + 0.3 * rng.standard_normal()
    return 12 + 6 * np.sin(2 * np.pi * np.arange(hours) / 24) + weather


celsius = temperature()
mean, std = celsius[:2400].mean(), celsius[:2400].std()  # of what it learns from
windows = np.lib.stride_tricks.sliding_window_view(((celsius - mean) / std).astype("float32"), 48 + 6)
past, future = windows[:, :48].T[..., None], windows[:, 48:]  # (steps, sequences, features) and (sequences, 6)
training = Sequences(past[:, :2346], future[:2346])
held_out = Sequences(past[:, 2400:], future[2400:])
settings = SequenceSettings(hidden_size=32, epochs=8, target_scale=std)
run = Run.create(None, RegressionJob(settings, training, held_out))
run.train(progress=False)
yesterday = std * np.abs(held_out.x[-24:-18, :, 0].T - held_out.targets).mean()
print(f"MAE in degrees: {run.evaluations[-1]['mae']:.2f}, {yesterday:.2f} by yesterday's hours")
print("the next six hours:", np.round(mean + std * run.best_model(past[:, -1:]), 1)[0])
