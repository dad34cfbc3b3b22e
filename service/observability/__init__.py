"""What the service says of itself: metrics and log lines, never what people sent."""
