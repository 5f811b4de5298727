"""Expert review: who answers review requests, and (with the Space) the store of their decisions."""
