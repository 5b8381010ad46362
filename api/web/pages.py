"""Every page's routes."""

from api.web import ask, assets, audit, docs, me, policies, request, sessions, signing, targets

PAGES = (ask, audit, docs, me, policies, request, sessions, signing, targets, assets)
