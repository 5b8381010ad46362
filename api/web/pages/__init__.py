"""Pages, a place of the site to a file. Each parses, calls the broker, and renders."""

from api.web import assets
from api.web.pages import (
    alarms,
    approvals,
    ask,
    audit,
    deciding,
    docs,
    me,
    my_access,
    overview,
    policies,
    request,
    requests,
    sessions,
    signing,
    targets,
)

PAGES = (
    alarms,
    approvals,
    ask,
    audit,
    deciding,
    docs,
    me,
    my_access,
    overview,
    policies,
    request,
    requests,
    sessions,
    signing,
    targets,
    assets,
)
