"""OpenSearch Dashboards for the findings that the sink ``opensearch`` keeps."""
