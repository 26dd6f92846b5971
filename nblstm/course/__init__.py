"""What the notebooks of the course import: the beginning of a lesson, predictions, exercises, the concept test."""

from nblstm.course.checks import close, exercise, reveal
from nblstm.course.concepts import ask, score
from nblstm.course.lesson import begin

__all__ = ["ask", "begin", "close", "exercise", "reveal", "score"]
