"""A dataset made anew, or only what has changed since."""
