"""Array functions without state: STFT, masks, covariances, filters."""
