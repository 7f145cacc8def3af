"""Arrow tables to one partitioned Parquet dataset.

A dataset is a folder::

    manifest.json     what is in it: tables, files, rows, bytes, checksums, columns, sources, warnings
    tilts/            one row a tilt image: the global table joined with all tilt-series tables
    tomograms/        one row a tomogram, also those without tilts
    optics/           the optics table, where the global file has one
    rejects/          what was left out, one row each, where anything was

It is written beside its place under another name, flushed to disk, and put in place by one rename: what a
reader finds under the dataset's name is whole.
"""
