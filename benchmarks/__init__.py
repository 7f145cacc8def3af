"""How fast tomoarrow is beside its peers, as ratios measured in turns in one run: ``python -m benchmarks``."""
