"""Array functions without state: transforms, masks, covariances, filters."""
