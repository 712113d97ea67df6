"""The language: pure values and rules. No files, no clock, no log, no SQL."""
