"""STAR text to Arrow and back. Knows nothing of cryo-EM: what a label means is handed in."""
