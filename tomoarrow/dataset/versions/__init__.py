"""Versions of a dataset, each there whole or not at all: the protocol is on one page in `tomoarrow.dataset`."""
