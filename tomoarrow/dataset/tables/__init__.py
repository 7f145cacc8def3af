"""STAR files to the tables of a dataset, one module for each kind of set or table."""
