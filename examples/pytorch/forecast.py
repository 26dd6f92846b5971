"""In PyTorch what examples/forecast.py does: the next six hours of a temperature, judged in degrees."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


def temperature(hours=3000):
    """Of each hour in degrees: a day's course, and weather that comes and goes."""
    rng, weather = np.random.default_rng(0), np.zeros(hours)
    for hour in range(1, hours):
        weather[hour] = 0.99 * weather[hour - 1] + 0.3 * rng.standard_normal()
    return 12 + 6 * np.sin(2 * np.pi * np.arange(hours) / 24) + weather


class Forecaster(nn.Module):
    """An LSTM, and a linear layer on its last state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.linear = nn.LSTM(1, 32), nn.Linear(32, 6)

    def forward(self, x):
        """Six numbers for each sequence, (sequences, 6)."""
        _, (h_n, _) = self.lstm(x)
        return self.linear(h_n[-1])


celsius = temperature()
mean, std = celsius[:2400].mean(), celsius[:2400].std()  # of what it learns from
windows = torch.from_numpy(((celsius - mean) / std).astype("float32")).unfold(0, 48 + 6, 1)
past, future = windows[:, :48].T[..., None], windows[:, 48:]  # (steps, sequences, features) and (sequences, 6)
model, epochs, size = Forecaster(), 8, 32
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (2346 // size), eta_min=0.0005)
for _ in range(epochs):
    for batch in torch.randperm(2346).split(size)[: 2346 // size]:
        loss = nn.functional.mse_loss(model(past[:, batch]), future[batch])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
with torch.no_grad():
    mae = std * (model(past[:, 2400:]) - future[2400:]).abs().mean().item()
    yesterday = std * (past[-24:-18, 2400:, 0].T - future[2400:]).abs().mean().item()
    print(f"MAE in degrees: {mae:.2f}, {yesterday:.2f} by yesterday's hours")
    print("the next six hours:", np.round(mean + std * model(past[:, -1:]).numpy(), 1)[0])
