"""A drawn world of creatures made of parts, with captions and masks."""
