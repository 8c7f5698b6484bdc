"""Two tenants that have one of everything, each text of which holds the tenant's marker."""

from dataclasses import dataclass, field
from uuid import UUID

import orjson

from domain.adapters.language_model import Usage
from domain.ai import budget, search_queries
from domain.attachments import service as attachments
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import acting_for
from domain.base.permissions import Permission, Role
from domain.billing.plans import Plan
from domain.comments import service as comments
from domain.identity.account_tokens import Purpose
from domain.labels import service as labels
from domain.notifications import subscriptions
from domain.organizations import api_keys
from domain.projects import workflow_states
from domain.search import indexing
from domain.tasks import due, relations
from domain.tasks import service as tasks
from domain.tasks.models import RelationKind
from domain.tasks.transfer import transfer
from graph.base.ids import global_id
from tests import client
from tests.billing.paying import subscribe
from tests.factories import (
    Person,
    Tenant,
    execute,
    make_attachment,
    make_member,
    make_project,
    make_task,
    make_tenant,
    rows,
    set_plan,
    states_of,
)
from tests.links import issue, make_invitation, token_of
from tests.notifications.telling import tell_all
from tests.work.doing import ask_nobody


@dataclass(frozen=True)
class World:
    """A tenant with one of everything.

    `ids` names its things: a kind, with words before it when there are several ("loose task"). `secret` is the API
    key's, which has every permission.
    """

    tenant: Tenant
    marker: str
    secret: str
    ids: dict[str, UUID] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def id(self, thing: str) -> str:
        """The thing's global id, or the token of that name."""
        if kind_of(thing) == "token":
            return self.texts[thing]
        return global_id(kind_of(thing), self.ids[thing])

    @property
    def admin(self) -> Person:
        """Who made it all."""
        return self.tenant.admin


def kind_of(thing: str) -> str:
    """The kind of id that a thing has: its last word."""
    return thing.rsplit(" ", 1)[-1]


async def make_world(marker: str, key: str) -> World:
    """A tenant whose admin has made one of everything. `key` begins the identifiers of its tasks."""
    tenant = await make_tenant(marker)
    admin = tenant.admin
    # Its limits are in nobody's way.
    await set_plan(tenant.org_id, Plan.BUSINESS)
    second = await make_member(tenant.org_id, Role.ADMIN, f"Second {marker.title()}")
    await execute(
        "UPDATE users SET email = $1 || '-' || email WHERE id IN (SELECT user_id FROM membership WHERE org_id = $2)",
        marker,
        tenant.org_id,
    )
    project = await make_project(admin, tenant, name=f"{marker} web", key=key, description=marker)
    other_project = await make_project(admin, tenant, name=f"{marker} app", key=f"{key}2", lead_id=admin.user_id)
    states, other_states = await states_of(project), await states_of(other_project)
    async with admin.acting() as actor:
        made = await api_keys.create(actor, tenant.org_id, name=f"{marker} key", permissions=list(Permission))
        label = await labels.create(actor, tenant.org_id, name=f"{marker} bug", color="#aabbcc", description=marker)
        unused = await labels.create(actor, tenant.org_id, name=f"{marker} chore", color="#aabbcc")
        await workflow_states.transitions_set(actor, states["Done"], allowed_ids=[states["Todo"]])
    task = await make_task(
        admin, project, title=f"{marker} task", description=marker, label_ids=[label.id], assignee_id=admin.user_id
    )
    subtask = await make_task(admin, project, title=f"{marker} subtask", parent_id=task.id)
    neighbor = await make_task(admin, project, title=f"{marker} neighbor", state_id=states["In progress"])
    loose = await make_task(admin, project, title=f"{marker} loose", assignee_id=tenant.member.user_id)
    moved = await make_task(admin, project, title=f"{marker} moved")
    async with admin.acting() as actor:
        await tasks.move(actor, neighbor.id, state_id=states["Done"])
        await tasks.move(actor, neighbor.id, state_id=states["Todo"])
        await tasks.move(actor, neighbor.id, state_id=states["In progress"])
        await transfer(actor, moved.id, project_id=other_project.id)
        relation = await relations.create(actor, task.id, neighbor.id, kind=RelationKind.BLOCKS)
        comment = await comments.create(actor, task.id, body=f"{marker} asks @({tenant.member.id})")
        reply = await comments.create(actor, task.id, body=f"{marker} answers", reply_to_id=comment.id)
    attachment = await make_attachment(admin, task, filename=f"{marker}.txt")
    sent = await make_attachment(admin, task, filename=f"{marker} sent.txt", is_checked=False)
    spoofed = await make_attachment(admin, task, filename=f"{marker}.png", content_type="image/png")
    with acting_for([tenant.org_id]):
        await attachments.note_thumbnail(Actor.system(tenant.org_id), attachment.id)
    invitation = await make_invitation(admin, tenant, f"{marker}@example.test")
    async with second.acting() as actor:
        await subscriptions.subscribe(actor, task.id)
        await comments.create(actor, task.id, body=f"{marker} objects")
        await tasks.update(actor, loose.id, due_date=now().date())
    with acting_for([tenant.org_id]):
        await due.remind(Actor.system(tenant.org_id), now())
    await tell_all(tenant.org_id)
    (notification,) = await rows("SELECT id FROM notification WHERE user_id = $1", admin.user_id)
    membership = await rows("SELECT id, user_id FROM membership WHERE org_id = $1", tenant.org_id)
    (event,) = await rows("SELECT id FROM event WHERE subject_id = $1 AND type = 'TASK_CREATED'", task.id)
    membership_of = {row["user_id"]: row["id"] for row in membership}
    await make_rows_after_commit(tenant.org_id)
    await index_task(tenant.org_id, task.id)
    jobs = await make_jobs(admin, tenant, marker)
    return World(
        tenant,
        marker,
        made.secret,
        {
            "organization": tenant.org_id,
            "membership": membership_of[tenant.guest.user_id],
            "own membership": membership_of[admin.user_id],
            "user": tenant.member.user_id,
            "own user": admin.user_id,
            "second user": second.user_id,
            "session": admin.session_id,
            "other session": await make_session(admin),
            "api_key": made.key.id,
            "project": project.id,
            "other project": other_project.id,
            "workflow_state": states["Todo"],
            "next workflow_state": states["In progress"],
            "done workflow_state": states["Done"],
            "other workflow_state": other_states["Done"],
            "label": label.id,
            "unused label": unused.id,
            "task": task.id,
            "sub task": subtask.id,
            "neighbor task": neighbor.id,
            "loose task": loose.id,
            "moved task": moved.id,
            "task_relation": relation.id,
            "comment": comment.id,
            "reply comment": reply.id,
            "attachment": attachment.id,
            "sent attachment": sent.id,
            "spoofed attachment": spoofed.id,
            "invitation": invitation.id,
            "event": event["id"],
            "notification": notification["id"],
            **await make_threads(admin, tenant, marker),
            **jobs,
            "generated_image": await make_image(admin, tenant, marker, jobs["finished job"]),
            "search_query": await make_search_query(admin, tenant, marker, task.id),
        },
        {
            "slug": tenant.slug,
            "identifier": task.identifier,
            "former identifier": moved.identifier,
            "invitation token": await token_of(invitation.id),
            **await make_tokens(admin),
        },
    )


async def make_tokens(person: Person) -> dict[str, str]:
    """Tokens of links for the person: two of their account, and of an invitation to an organization of its own."""
    (row,) = await rows("SELECT email FROM users WHERE id = $1", person.user_id)
    host = await make_tenant("host")
    # As one who may see all of it.
    invitation = await make_invitation(host.admin, host, row["email"], Role.ADMIN)
    await execute("UPDATE users SET email_verified_at = created_at WHERE id = $1", person.user_id)
    return {
        "acceptance token": await token_of(invitation.id),
        "verification token": await issue(person, Purpose.VERIFY_EMAIL, email=row["email"]),
        "reset token": await issue(person, Purpose.RESET_PASSWORD, email=row["email"]),
    }


async def prepared(name: str, person: Person) -> dict[str, str]:
    """Make ready for the person to call a mutation of this name; the tokens that the call then takes."""
    if name == "emailVerificationResend":
        await execute("UPDATE users SET email_verified_at = NULL WHERE id = $1", person.user_id)
    if name in ("emailVerify", "invitationAccept", "passwordReset"):
        return await make_tokens(person)
    return {}


async def bought(name: str, world: World) -> None:
    """Let a plan be paid for where a mutation of this name needs one. Somebody has to sell it (`selling`)."""
    if name in ("billingPortalCreate", "subscriptionCancel", "subscriptionResume"):
        await subscribe(world.admin, world.tenant.id)


async def make_rows_after_commit(org_id: UUID) -> None:
    """What the relay and cron keep of the organization. Its events are not relayed, so that nobody acts on them."""
    await execute(
        "INSERT INTO relay_position (org_id, seq) SELECT org_id, seq FROM event_counter WHERE org_id = $1", org_id
    )
    await execute(
        "INSERT INTO delivery (id, org_id, kind, source_id, seq, handler, state, attempts, available_at, queue_at, "
        "created_at, ended_at) SELECT gen_random_uuid(), org_id, 'EVENT', id, seq, 'nobody', 'DONE', 1, now(), now(), "
        "now(), now() FROM event WHERE org_id = $1 AND seq = 1",
        org_id,
    )
    await execute(
        "INSERT INTO organization_metrics (id, org_id, at, members, projects, tasks_open, tasks_done, events) "
        "VALUES (gen_random_uuid(), $1, now(), 5, 2, 4, 1, 9)",
        org_id,
    )


async def index_task(org_id: UUID, task_id: UUID) -> None:
    """Let the task have passages and vectors. What else there is waits for them, which leaves rows of that too."""
    with acting_for([org_id]):
        await indexing.bring([task_id], client.served()[1])


async def make_jobs(person: Person, tenant: Tenant, marker: str) -> dict[str, UUID]:
    """A job of the person that nobody has begun, and one that has left a file."""
    waiting, finished = [await ask_nobody(person, tenant) for _ in range(2)]
    await execute("UPDATE job SET message = $2 WHERE id = $1", waiting.id, marker)
    await execute(
        "UPDATE job SET status = 'SUCCEEDED', claim = id, result_filename = $2, result_type = 'text/csv', "
        "result_size_bytes = 1, finished_at = now(), expires_at = now() + interval '7 days' WHERE id = $1",
        finished.id,
        f"{marker}.csv",
    )
    return {"job": waiting.id, "finished job": finished.id}


async def make_threads(person: Person, tenant: Tenant, marker: str) -> dict[str, UUID]:
    """A thread of the person with an answer, one with an answer that nobody writes on, and one without."""
    made: dict[str, UUID] = {}
    for thing, status in (("", "DONE"), ("ai_message", "STREAMING"), ("failed ai_message", "FAILED")):
        thread_id, question_id, answer_id = new_id(), new_id(), new_id()
        await execute(
            "INSERT INTO ai_thread (id, org_id, user_id, title, created_at, updated_at) "
            "VALUES ($1, $2, $3, $4, now(), now())",
            *(thread_id, tenant.org_id, person.user_id, marker),
        )
        sources = orjson.dumps([{"subject": "TASK", "id": new_id().hex, "score": 1.0, "snippet": marker}]).decode()
        for id, about, role, stands in (
            (question_id, None, "USER", "DONE"),
            (answer_id, question_id, "ASSISTANT", status),
        ):
            await execute(
                "INSERT INTO ai_message (id, org_id, user_id, thread_id, question_id, role, status, content, sources, "
                "version, created_at, updated_at, finished_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, now(), "
                "now(), $10)",
                *(id, tenant.org_id, person.user_id, thread_id, about, role, stands, marker, sources),
                None if stands == "STREAMING" else now(),
            )
        made |= {thing: answer_id} if thing else {"ai_thread": thread_id}
    return made


async def own_threads(world: World, person: Person) -> None:
    """Let the world's threads be the person's."""
    for table in ("ai_thread", "ai_message"):
        await execute(f"UPDATE {table} SET user_id = $1 WHERE org_id = $2", person.user_id, world.tenant.org_id)


async def make_image(person: Person, tenant: Tenant, marker: str, job_id: UUID) -> UUID:
    """A picture of the person that the job has drawn, and what the organization has used."""
    image_id = new_id()
    await execute(
        "INSERT INTO generated_image (id, org_id, user_id, prompt, job_id, created_at, updated_at) "
        "VALUES ($1, $2, $3, $4, $5, now(), now())",
        *(image_id, tenant.org_id, person.user_id, marker, job_id),
    )
    with acting_for([tenant.org_id]):
        await budget.charge(tenant.org_id, Usage(3, 4, is_estimated=False))
    return image_id


async def make_search_query(person: Person, tenant: Tenant, marker: str, task_id: UUID) -> UUID:
    """A search of the person that was summarized from the task."""
    source = {"subject": "TASK", "id": task_id.hex, "score": 1.0, "snippet": marker}
    async with person.acting() as actor:
        made = await search_queries.keep(
            actor, tenant.org_id, text=marker, summary=marker, sources=[source], is_generated=False
        )
    return made.id


async def make_session(person: Person) -> UUID:
    """Another session of the person, which nobody has the token of."""
    session_id = new_id()
    await execute(
        "INSERT INTO session (id, user_id, token_digest, user_agent, created_at, last_used_at, expires_at) "
        "SELECT $1, user_id, uuid_send($1), user_agent, created_at, last_used_at, expires_at "
        "FROM session WHERE id = $2",
        session_id,
        person.session_id,
    )
    return session_id


async def make_notification(world: World, person: Person) -> UUID:
    """Another entry as the admin's, in the person's inbox."""
    notification_id = new_id()
    await execute(
        "INSERT INTO notification SELECT (copied).* FROM (SELECT jsonb_populate_record(notification, "
        "jsonb_build_object('id', $1::uuid, 'user_id', $2::uuid, 'event_id', $1::uuid, 'seq', 1000)) AS copied "
        "FROM notification WHERE id = $3) AS made",
        notification_id,
        person.user_id,
        world.ids["notification"],
    )
    return notification_id


async def point_at(world: World, other: World) -> None:
    """Let tasks, comments and attachments of `world` name people and a key of `other`.

    The database allows it, because people belong to no organization and the doer of a thing has no foreign key; the
    predicates of people and keys alone keep such a row from showing who they are.
    """
    stranger = other.ids["second user"]
    await execute("UPDATE project SET lead_id = $1 WHERE id = $2", stranger, world.ids["other project"])
    await execute(
        "UPDATE task SET assignee_id = $1, creator_kind = 'API_KEY', creator_id = $2 WHERE id = $3",
        stranger,
        other.ids["api_key"],
        world.ids["moved task"],
    )
    await execute("UPDATE comment SET author_id = $1 WHERE id = $2", stranger, world.ids["reply comment"])
    uploader = "UPDATE attachment SET uploaded_by_id = $1 WHERE id = $2"
    await execute(uploader, stranger, world.ids["spoofed attachment"])
    await execute(
        "INSERT INTO comment_mention (id, org_id, comment_id, user_id) VALUES ($1, $2, $3, $4)",
        new_id(),
        world.tenant.org_id,
        world.ids["reply comment"],
        stranger,
    )
