"""How fast the conversion is, as ratios measured in one run."""
