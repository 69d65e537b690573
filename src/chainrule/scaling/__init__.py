"""Beyond one machine's memory and processors: rows on disk, several devices, several processes."""
