"""The tables of a dataset that is there, as they are asked for: lazily, in SQL, by tomogram, by row group."""
