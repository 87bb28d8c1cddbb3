"""The KAFKA listener: it consumes the organization's topic."""
