"""Who asks, and how often they may: keys, tokens, scopes, limits."""
