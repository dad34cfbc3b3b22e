"""The revisions, in order. A later version of the service runs beside the one before it while instances are replaced,
so a revision only adds; what is no longer used goes one version later.
"""
