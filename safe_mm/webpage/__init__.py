"""A page in the browser that adapts CLIP to photos of its users."""
