"""A real OpenSearch server for tests, from its artefacts in Maven Central."""
