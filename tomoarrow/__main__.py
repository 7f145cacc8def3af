"""``python -m tomoarrow``."""

from .cli import main

main()
