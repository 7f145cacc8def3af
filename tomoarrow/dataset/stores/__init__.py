"""Object stores: URLs used as paths are, requests that are made again, and who one is to them."""
