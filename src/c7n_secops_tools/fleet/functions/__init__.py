"""The Lambda functions of policies with an event mode: deployed, compared, cleaned up."""
