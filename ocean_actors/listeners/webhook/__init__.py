"""The WEBHOOK listener: an HTTP endpoint that Port calls."""
