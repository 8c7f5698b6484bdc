"""E-mail addresses, in the one form in which they are stored and compared."""

from email_validator import EmailNotValidError, validate_email

# 64 characters before the @ and 255 after it. Source: RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.2.
LONGEST = 320


def normalized(text: str) -> str | None:
    """The address as it is stored and compared, or None when it is not one."""
    if len(text) > LONGEST:
        # Before anything looks at it: to normalize it would take time that grows with the square of its length.
        return None
    try:
        # .test is what the demo accounts use; nothing is looked up in the DNS.
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()
