"""One file per event listener. They request resyncs and never touch a handler."""
