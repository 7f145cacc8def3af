"""Particles in tilt images: where each is in each image that shows it."""
