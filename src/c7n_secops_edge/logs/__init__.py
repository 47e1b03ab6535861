"""Access logs: where a resource's are, how they are read, what their lines say."""
