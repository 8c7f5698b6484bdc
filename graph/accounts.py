"""What travels by mail or asks for the password: verifying an address, changing it, and a new password."""

from typing import Annotated

import strawberry

from domain.identity import password_changes, verification
from graph.base.context import Info
from graph.base.errors import mutation
from graph.base.payloads import DonePayload
from graph.identity import MailedToken, Viewer, ViewerPayload, counted, origin_of, signed_out

NewPassword = Annotated[str, strawberry.argument(description="10 to 200 characters.")]


@strawberry.type
class AccountMutations:
    """Changes of how somebody signs in, and of the address that their mail goes to. None of them takes an API key."""

    @mutation
    async def email_verify(self, info: Info, token: MailedToken) -> ViewerPayload | None:
        """Verify the viewer's address by a mailed link. Also completes emailChangeRequest.

        The viewer is signed in as the account that the link is for. EXPIRED after 7 days, for a new address after one.
        """
        actor = info.context.actor
        row = await verification.verify(actor, token, **counted(info))
        return ViewerPayload(viewer=Viewer.of(row))

    @mutation
    async def email_verification_resend(self, info: Info) -> DonePayload | None:
        """Mail the link that verifies the viewer's address again; the one before holds no more. 3 an hour."""
        context = info.context
        await verification.resend(context.actor, settings=context.settings, throttle=context.adapters.throttle)
        return DonePayload(done=True)

    @mutation
    async def password_reset_request(
        self, info: Info, email: Annotated[str, strawberry.argument(description="The account's address.")]
    ) -> DonePayload | None:
        """Mail a link to set a new password with; it lasts an hour. Needs no sign-in.

        Always done, whether or not the address is known. 5 an hour for an address, 20 from a network.
        """
        await password_changes.request_reset(email, settings=info.context.settings, **counted(info))
        return DonePayload(done=True)

    @mutation(credential=True)
    async def password_reset(self, info: Info, token: MailedToken, new_password: NewPassword) -> DonePayload | None:
        """Set a new password by a mailed link. Ends every session of the account. Needs no sign-in."""
        user_id = await password_changes.reset(token, new_password, **counted(info))
        caller = info.context.operation.caller
        if caller is not None and caller.session_id is not None and caller.user_id == user_id:
            signed_out(info)
        return DonePayload(done=True)

    @mutation(credential=True)
    async def password_change(
        self,
        info: Info,
        current_password: Annotated[str, strawberry.argument(description="The password of now.")],
        new_password: NewPassword,
    ) -> DonePayload | None:
        """Set a new password. Ends all sessions of the viewer but the present one, and tells the viewer by mail."""
        await password_changes.change(info.context.actor, current_password, new_password, **origin_of(info))
        return DonePayload(done=True)

    @mutation(credential=True)
    async def email_change_request(
        self,
        info: Info,
        new_email: Annotated[str, strawberry.argument(description="Compared trimmed and lower-cased.")],
        password: Annotated[str, strawberry.argument(description="The viewer's password.")],
    ) -> DonePayload | None:
        """Mail a link to the new address; it changes when the link is used, and the old address is told.

        emailVerify uses the link, which lasts a day.
        """
        await verification.request_change(
            info.context.actor, new_email, password, settings=info.context.settings, **origin_of(info)
        )
        return DonePayload(done=True)
