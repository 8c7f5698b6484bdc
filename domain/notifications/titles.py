"""What an entry says in one line. It is made when it is shown: names and titles change, and may be erased."""

from domain.notifications.models import NotificationKind

SOMEBODY = "Somebody"
_A_TASK = "a task"


def title(kind: NotificationKind, *, doer: str | None, task: str | None) -> str:
    """The line, from the names of who did it and of the task; None for what is gone or hidden."""
    who, what = doer or SOMEBODY, task or _A_TASK
    match kind:
        case NotificationKind.TASK_ASSIGNED:
            return f"{who} assigned {what} to you"
        case NotificationKind.MENTIONED:
            return f"{who} mentioned you on {what}"
        case NotificationKind.COMMENTED:
            return f"{who} commented on {what}"
        case NotificationKind.INVITATION_ACCEPTED:
            return f"{who} accepted your invitation"
        case NotificationKind.DUE_SOON:
            return f"{what[0].upper()}{what[1:]} is due soon"
        case NotificationKind.REPORT_READY:
            return "Your report is ready"


def of_task(identifier: str, title: str) -> str:
    """A task's name in such a line."""
    return f"{identifier} {title}"
