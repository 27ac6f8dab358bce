"""Tables and pictures of a sweep's records."""
