"""Judges: programs that hold this project against something outside of it."""
