"""The command `pgcurfew`: one file per group of commands.

People's commands talk to the HTTP API through api.client; operators' commands read the settings.
"""
