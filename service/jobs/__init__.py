"""Work that outlives its request: long media and bulk texts."""
