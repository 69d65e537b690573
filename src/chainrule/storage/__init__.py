"""Bytes on disk: files that are whole or not there, documents of one type each. Knows nothing of training."""
