"""What the operator wrote, read and checked: nothing of it is carried out here.

settings, values, identity, oncall    the settings file and the environment
session_parameters                    what is set on logins, wherever it is written
policy_file, _models, _checks         the policies, by themselves and as a whole
network_file                          lists of networks
yaml_file, faults                     YAML with lines, and what is wrong with it
"""
