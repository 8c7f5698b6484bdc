"""The whole policy: who may do what, in one table."""

from enum import StrEnum


class Permission(StrEnum):
    """What a role or a key allows inside one organization."""

    ORG_READ = "ORG_READ"
    ORG_UPDATE = "ORG_UPDATE"
    ORG_DELETE = "ORG_DELETE"
    MEMBERS_READ = "MEMBERS_READ"
    MEMBERS_MANAGE = "MEMBERS_MANAGE"
    INVITATIONS_MANAGE = "INVITATIONS_MANAGE"
    BILLING_READ = "BILLING_READ"
    BILLING_MANAGE = "BILLING_MANAGE"
    PROJECT_CREATE = "PROJECT_CREATE"
    PROJECT_READ = "PROJECT_READ"
    PROJECT_UPDATE = "PROJECT_UPDATE"
    PROJECT_DELETE = "PROJECT_DELETE"
    TASK_CREATE = "TASK_CREATE"
    TASK_READ = "TASK_READ"
    TASK_UPDATE = "TASK_UPDATE"
    TASK_DELETE = "TASK_DELETE"
    COMMENT_CREATE = "COMMENT_CREATE"
    ATTACHMENT_CREATE = "ATTACHMENT_CREATE"
    ATTACHMENT_READ = "ATTACHMENT_READ"
    SEARCH_READ = "SEARCH_READ"
    AI_USE = "AI_USE"
    REPORT_CREATE = "REPORT_CREATE"
    AUDIT_READ = "AUDIT_READ"
    API_KEYS_MANAGE = "API_KEYS_MANAGE"


class Role(StrEnum):
    """What a member is in an organization."""

    ADMIN = "ADMIN"
    MEMBER = "MEMBER"
    BILLING_MANAGER = "BILLING_MANAGER"
    GUEST = "GUEST"


P = Permission
_READ = frozenset({P.ORG_READ, P.MEMBERS_READ, P.PROJECT_READ, P.TASK_READ, P.ATTACHMENT_READ, P.SEARCH_READ})

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.MEMBER: _READ
    | {P.PROJECT_CREATE, P.PROJECT_UPDATE, P.TASK_CREATE, P.TASK_UPDATE, P.TASK_DELETE}
    | {P.COMMENT_CREATE, P.ATTACHMENT_CREATE, P.AI_USE, P.REPORT_CREATE},
    Role.BILLING_MANAGER: _READ | {P.BILLING_READ, P.BILLING_MANAGE},
    Role.GUEST: _READ | {P.COMMENT_CREATE},
}


def in_order(permissions: frozenset[Permission]) -> list[Permission]:
    """The permissions in the order of their declaration."""
    return [permission for permission in Permission if permission in permissions]
