"""One conversion by many processes or machines: plan, partition, finalise; the same as tasks of a dask cluster."""
