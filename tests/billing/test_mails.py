"""A payment that failed is mailed once to each who can mend it, and to nobody else."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.base.database import acting_for
from domain.billing import mails
from tests.adapters.mail_server import MailServer, serving
from tests.adapters.test_mail_smtp import mail_to
from tests.billing.paying import Shop
from tests.factories import Tenant, execute
from tests.notifications.telling import events_of


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """Takes the mail."""
    async with serving() as running:
        yield running


@pytest.fixture
async def mailing(shop: Shop, server: MailServer) -> AsyncIterator[Shop]:
    """Planwire that mails to the server."""
    smtp = mail_to(server.port)
    yield replace(shop, adapters=replace(shop.adapters, mail=smtp))
    await smtp.close()


async def _fails(shop: Shop, tenant: Tenant) -> None:
    subscription = await shop.buy(tenant)
    await shop.settled(tenant)
    shop.fake.account.failing.add(subscription["customer"])
    shop.fake.account.renew(subscription["id"])


async def test_who_manages_billing_is_mailed_once(mailing: Shop, server: MailServer, acme: Tenant) -> None:
    async with mailing.working():
        await _fails(mailing, acme)
        await mailing.settled(acme)
        # The next try a week later fails, too.
        mailing.fake.account.advance(days=7)
        row = await mailing.settled(acme)

    (mail,) = [mail for mail in server.mails() if mail["To"] == acme.billing.email]
    assert sorted(mail["To"] for mail in server.mails()) == sorted([acme.admin.email, acme.billing.email])
    text = str(mail)
    assert mail["Subject"] == "A payment for Acme has failed"
    assert f"{row['grace_ends_at']:%B %Y}" in text
    assert f"/{acme.slug}/billing" in text


async def test_what_is_mended_or_somebody_elses_by_now_is_not_mailed(shop: Shop, acme: Tenant) -> None:
    async with shop.working():
        await _fails(shop, acme)
        await shop.settled(acme)
        bought, failed = await events_of(acme.org_id, "SUBSCRIPTION_UPDATED")
        with acting_for([acme.org_id]):
            told = [await mails.told_of(event) for event in (bought, failed)]
            await execute("UPDATE membership SET role = 'MEMBER' WHERE user_id = $1", acme.admin.user_id)
            of_admin, of_billing = [
                await mails.payment_failed(failed, person.user_id) for person in (acme.admin, acme.billing)
            ]
            await execute("UPDATE users SET email_verified_at = NULL WHERE id = $1", acme.billing.user_id)
            unverified = await mails.payment_failed(failed, acme.billing.user_id)
            await execute("UPDATE users SET email_verified_at = now() WHERE id = $1", acme.billing.user_id)
        shop.fake.account.failing.clear()
        shop.fake.account.pay_invoice(shop.subscription(acme)["latest_invoice"])
        await shop.settled(acme)
        with acting_for([acme.org_id]):
            paid = await mails.payment_failed(failed, acme.billing.user_id)

    assert told == [[], sorted([acme.admin.user_id, acme.billing.user_id])]
    assert of_admin is None
    assert of_billing is not None
    assert of_billing.to == acme.billing.email
    assert (unverified, paid) == (None, None)
