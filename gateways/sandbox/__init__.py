"""The provider sandbox: four processors' dialects as one local server, for demos and tests."""
