"""Hints that something has happened: what they are about, their order, and going on from one."""
