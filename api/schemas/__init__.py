"""Bodies in and views out, as pydantic knows them. Domain objects never serialise themselves.

One resource per file; what only a few routes have, such as policies, stands beside this package.
"""

from api.schemas.allowances import AllowanceView, NewAllowance
from api.schemas.base import Body, Page, View
from api.schemas.grants import (
    ApprovalView,
    CredentialView,
    Extension,
    GrantView,
    NewReview,
    ObtainedView,
    ReviewView,
    Revocation,
    TicketView,
)
from api.schemas.oneself import (
    MeView,
    NewTokenBody,
    ProviderView,
    SignedInView,
    SignIn,
    SignInWays,
    TokenView,
)
from api.schemas.receipts import FindingView, LineView, ReceiptFacts, ReceiptView, StepView
from api.schemas.requests import (
    Approval,
    CommentView,
    DecisionView,
    Denial,
    NewComment,
    NewRequest,
    ProgressView,
    RequestView,
)
from api.schemas.service import AlarmView, BanView, RoleView, TargetView
from api.schemas.sessions import CurrentStatementView, HeldCommitView, SessionView

__all__ = [
    "AlarmView",
    "AllowanceView",
    "Approval",
    "ApprovalView",
    "BanView",
    "Body",
    "CommentView",
    "CredentialView",
    "CurrentStatementView",
    "DecisionView",
    "Denial",
    "Extension",
    "FindingView",
    "GrantView",
    "HeldCommitView",
    "LineView",
    "MeView",
    "NewAllowance",
    "NewComment",
    "NewRequest",
    "NewReview",
    "NewTokenBody",
    "ObtainedView",
    "Page",
    "ProgressView",
    "ProviderView",
    "ReceiptFacts",
    "ReceiptView",
    "RequestView",
    "ReviewView",
    "Revocation",
    "RoleView",
    "SessionView",
    "SignIn",
    "SignInWays",
    "SignedInView",
    "StepView",
    "TargetView",
    "TicketView",
    "TokenView",
    "View",
]
