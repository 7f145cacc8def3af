"""Arrow tables to one partitioned Parquet dataset.

A dataset is a folder::

    manifest.json     what is in it: tables, files, rows, bytes, checksums, columns, warnings
    tilts/            one row a tilt image: the global table joined with all tilt-series tables
    tomograms/        one row a tomogram, also those without tilts
    particles/        one row a particle, beside its optics group
    optics/           one row an optics group, as the particle set has them (an older global file, where it is alone)
    trajectories/     one row a particle and tilt
    manifolds/        one row a manifold
    pairs/            labels with one value each, of all files
    star/             how each STAR file was written
    sources/          size, time and checksum that each STAR file had
    notices/          what was noticed in them, one row each, where anything was
    rejects/          what was left out, one row each, where anything was

Only the tables that the input has are there. Of a file that is no set, each loop is a table of its own.

Where things are
----------------
Each job is a module of this folder: `convert`, `export`, `verify`, and `dataset` for reading. They use these rooms,
each of which imports only from those above it::

    layout, paths, report, asked    what all of them speak of
    stores/     URLs, used like paths
    versions/   how a version takes its place, and how it is opened
    reading/    the tables of a version, as they are asked for
    tables/     STAR files to tables
    text/       tables to STAR files
    images/     particles in tilt images
    updating/   all made anew, or only what has changed
    parts/      one conversion by many machines
    pictures/   a page for the browser, and charts

How it is committed
-------------------
A dataset has versions, counted in its manifest. What is promised: a version is there whole or not at all, whenever
the run that writes it is killed, and the version before stays until then.

1. *Lock.* The writer locks ``.NAME.lock`` beside the dataset (`lock`); a second one is refused by host and process.
   The system releases the lock when its holder dies, so nothing has to be cleaned up by hand.
2. *Sweep.* What killed runs have left is removed: folders ``.NAME.staging-*``, and Parquet files of versions that were
   never committed or are gone. Their names tell them for certain, and nothing else is ever touched.
3. *Stage.* All new files are written to ``.NAME.staging-PID`` beside the dataset, on the same file system. Each is
   flushed to disk (``fsync``), and its checksum taken. Rows are counted: those read are those written and those
   rejected. The manifest is written last.
4. *Switch.* A first version is flushed and its folder renamed: that is the commit, and whoever lists the folder sees
   all of it or nothing. The files of a later version are moved among the old ones, under names that no version has had
   (``part-00000-v2.parquet``), folders are flushed, and ``manifest.json`` is replaced by one rename: that is the
   commit.
5. *Clear away.* Files that belong only to earlier versions are removed. The new manifest lists them (``retired``), so
   that the next run removes what this one could not.

If the run is killed before the commit, the old version is as it was. If it is killed after that, the new one is
complete, and at most there are files left for the next run to sweep.

Readers lock nothing. `Dataset`, `export` and `verify` read the manifest, open all files that it lists, and read the
manifest again (`snapshot`): if it is another one, they begin anew. From then on they have the files open, and neither
renaming nor removing takes them away. Whoever reads ``tilts/**/*.parquet`` by name always sees whole files, and a whole
version except at the moment of a switch to a later one. Training (`tomoarrow.ml`) opens files by name, in many
processes: the version that it began with must stay until it ends.

This takes a file system whose ``rename`` replaces in one step and whose ``fsync`` means it: local ones, NFS, Lustre,
BeeGFS and CephFS do. A reader on another NFS client than the writer may lose a file that it holds open; it then gets an
error, never other rows.
"""
