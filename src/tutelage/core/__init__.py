"""The foundation: configuration, records, the run store and errors; never imports torch."""
