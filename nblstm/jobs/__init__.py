"""What a run trains: settings, data and network brought together with a trainer, an evaluation and pictures."""

from nblstm.jobs.data import Sequences
from nblstm.jobs.images import ImageJob
from nblstm.jobs.job import Job
from nblstm.jobs.sentences import tagged_sequences
from nblstm.jobs.sequences import ClassificationJob, RegressionJob, SequenceJob
from nblstm.jobs.settings import (
    ImageSettings,
    SequenceSettings,
    Settings,
    TaggedTextSettings,
    TaggingSettings,
    TextSettings,
)
from nblstm.jobs.tagging import TaggedTextJob, TaggingJob
from nblstm.jobs.text import TextJob

__all__ = [
    "ClassificationJob", "ImageJob", "ImageSettings", "Job", "RegressionJob", "SequenceJob", "SequenceSettings",
    "Sequences", "Settings", "TaggedTextJob", "TaggedTextSettings", "TaggingJob", "TaggingSettings", "TextJob",
    "TextSettings", "tagged_sequences",
]  # fmt: skip
