"""A search over settings: many runs of one job, on the processes of this machine or on a Dask cluster."""

from nblstm.search.search import Search
from nblstm.search.space import Range

__all__ = ["Range", "Search"]
