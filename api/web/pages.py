"""Every page's routes."""

from api.web import ask, assets, audit, me, policies, request, sessions, signing, targets

PAGES = (ask, audit, me, policies, request, sessions, signing, targets, assets)
