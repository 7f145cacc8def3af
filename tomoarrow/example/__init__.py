"""A made-up but realistic RELION 5 project of any size, as its jobs leave it.

The numbers are random, the layout is RELION's own: columns, order, files, and the text to the byte
(``src/metadata_table.cpp``: MetaDataTable::write).
"""

from .project import Example, make_project
from .text import relion_doubles

__all__ = ["Example", "make_project", "relion_doubles"]
