"""The contract over HTTP: routes, problems, uploads and the OpenAPI document."""
