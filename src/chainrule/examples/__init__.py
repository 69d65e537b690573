"""Worked examples as data: networks computed by hand in a lecture and in print, with the numbers printed there."""
