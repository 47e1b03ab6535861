"""All access to AWS: clients, paging, retries, refusals, and the planning of batches."""
