"""STAR text to Arrow. Knows nothing of cryo-EM: what a label means is handed in."""
