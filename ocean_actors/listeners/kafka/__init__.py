"""The KAFKA listener: a consumer of the organization's topic."""
