"""Object stores: URLs used like paths, requests that are made again where they fail, and credentials."""
