"""What a run trains: settings, data and network brought together with a trainer, an evaluation and pictures."""

from nblstm.jobs.images import ImageJob
from nblstm.jobs.job import Job
from nblstm.jobs.sequences import ClassificationJob, RegressionJob, SequenceJob, Sequences
from nblstm.jobs.tagging import TaggedTextJob, TaggingJob
from nblstm.jobs.text import TextJob

__all__ = [
    "ClassificationJob", "ImageJob", "Job", "RegressionJob", "SequenceJob", "Sequences", "TaggedTextJob", "TaggingJob",
    "TextJob",
]  # fmt: skip
