"""Processes beside that of a test, which know nothing of its threads."""

import multiprocessing

#: They are forks of one that has done no work: to import all for each of them takes a second.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.dataset.versions.test_concurrency", "tests.dataset.parts.test_parts"])
