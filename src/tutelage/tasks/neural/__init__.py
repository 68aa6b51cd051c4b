"""Neural responses: many recordings, one core, a readout for each."""
