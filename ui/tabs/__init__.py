"""One room a tab: each builds its inputs, says what it asks of the service, and shows the answer."""
