"""The domains. They never import each other; `tutelage.task` finds them by entry point."""
