"""Every page's routes."""

from api.web import (
    alarms,
    approvals,
    ask,
    assets,
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
