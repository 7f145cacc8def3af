"""Arrow tables to one partitioned Parquet dataset.

A dataset is a folder::

    manifest.json     what is in it: tables, files, rows, bytes, checksums, columns, sources, warnings
    tilts/            one row a tilt image: the global table joined with all tilt-series tables
    tomograms/        one row a tomogram, also those without tilts
    particles/        one row a particle, beside its optics group
    optics/           one row an optics group, as the particle set has them (an older global file, where it is alone)
    trajectories/     one row a particle and tilt
    manifolds/        one row a manifold
    pairs/            labels with one value each, of all files
    star/             how each STAR file was written
    rejects/          what was left out, one row each, where anything was

Only those are there that the input has; of a file that is no set, each loop is a table of its own.

It is written beside its place under another name, flushed to disk, and put in place by one rename: what a
reader finds under the dataset's name is whole.
"""
