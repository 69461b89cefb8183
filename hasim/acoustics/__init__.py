"""What every microphone hears: rooms, heads, sources, recordings."""
