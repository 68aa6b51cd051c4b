"""What records say, as tables and as one HTML page; never imports torch."""
