"""What the notebooks of the course import: the beginning of a lesson, predictions, exercises that check themselves."""

from nblstm.course.checks import close, exercise, reveal
from nblstm.course.lesson import begin

__all__ = ["begin", "close", "exercise", "reveal"]
