"""The text of this answer: announcements at a station, in which names come back long after they were said."""

import random
from pathlib import Path

TOWNS = ["Aarau", "Bern", "Chur", "Davos", "Fluelen", "Olten", "Thun", "Zug"]
TIMES = ["early", "late", "on time", "full", "empty"]
ANSWERS = ["so be it", "never mind", "not again", "we walk"]


def announcement(rng):
    """Two towns, each said twice, and a remark between."""
    start, end = rng.sample(TOWNS, 2)
    return (
        f"The {rng.randint(1, 9)} o'clock from {start} to {end} is {rng.choice(TIMES)}, "
        f'says the man at {start}. "{rng.choice(ANSWERS).capitalize()}", say those who wait in {end}.\n'
    )


if __name__ == "__main__":
    rng = random.Random(18)
    Path(__file__).with_name("text.txt").write_text("".join(announcement(rng) for _ in range(600)), encoding="utf-8")
