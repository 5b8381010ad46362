"""Every page's routes."""

from api.web import (
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
