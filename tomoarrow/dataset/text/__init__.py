"""The tables of a dataset to the text of its STAR files again."""
