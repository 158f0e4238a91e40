"""Where items come from: DATASETS that ship, READERS of a person's own files, and how one item is decoded."""

from gelda.datasets.demos import DATASETS, DatasetSpec, get
from gelda.datasets.items import ItemDecoder, source_decoder
from gelda.datasets.options import Columns, SourceOptions
from gelda.datasets.readers import READERS, open_demo, open_source, probe
from gelda.datasets.source import Problem, Source
from gelda.datasets.splitting import find_copies, find_leaks

__all__ = [
    "DATASETS",
    "READERS",
    "Columns",
    "DatasetSpec",
    "ItemDecoder",
    "Problem",
    "Source",
    "SourceOptions",
    "find_copies",
    "find_leaks",
    "get",
    "open_demo",
    "open_source",
    "probe",
    "source_decoder",
]
