"""What the labels of RELION mean, where its projects keep their files, and how its sets fit together."""
