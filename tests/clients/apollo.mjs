// Apollo Client: its normalized cache, over HTTP and graphql-ws.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { EVENTS, ORGANIZATION, SIGN_IN, TASKS, TASK_CHANGED, UPDATE } from "./documents.mjs";
import {
  changed,
  endless,
  given,
  play,
  renameAsOther,
  screen,
  sent,
  shown,
  socketClient,
  tell,
  watchedFetch,
} from "./driver.mjs";

function apollo(token) {
  const signed = new SetContextLink(() => ({ headers: token ? { authorization: `Bearer ${token}` } : {} }));
  return new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === "subscription",
      new GraphQLWsLink(socketClient(token)),
      signed.concat(new HttpLink({ uri: given.url, fetch: watchedFetch })),
    ),
    cache: new InMemoryCache({
      possibleTypes: { UserError: ["InputError", "StaleVersionError", "TransitionError", "LimitError"] },
      typePolicies: { Project: { fields: { tasks: relayStylePagination(["orderBy"]) } } },
    }),
  });
}

const update = (client, variables) => client.mutate({ mutation: gql(UPDATE), variables });

const codes = (error) => {
  if (!CombinedGraphQLErrors.is(error)) throw error;
  return error.errors.map(({ extensions }) => extensions.code);
};

/** A list of tasks on a screen. */
function watched(client, first) {
  const { show, next } = screen();
  const list = client.watchQuery({ query: gql(TASKS), variables: { id: given.projectId, first } });
  list.subscribe(({ data, loading }) => {
    if (data && !loading) show(shown(data.project.tasks));
  });
  return { list, next };
}

await play({
  async signIn() {
    const input = { email: given.email, password: "not the password" };
    const signIn = (input) => apollo().mutate({ mutation: gql(SIGN_IN), variables: { input } });
    const refused = await signIn(input);
    await tell({ refused: refused.data.signIn.errors });
    const { data } = await signIn({ ...input, password: given.password });
    await tell({ signedIn: data.signIn.viewer.email });
    const found = await apollo(data.signIn.token).query({ query: gql(ORGANIZATION), variables: { slug: given.slug } });
    await tell({ organization: found.data.organization });
  },

  async pages() {
    const { list, next } = watched(apollo(given.token), 2);
    for (let more = true; more;) {
      const picture = await next();
      await tell(picture);
      const { endCursor } = list.getCurrentResult().data.project.tasks.pageInfo;
      if ((more = picture.more)) await list.fetchMore({ variables: { after: endCursor } });
    }
  },

  async change() {
    const client = apollo(given.token);
    const { next } = watched(client, 10);
    await tell(await next());
    await update(client, { id: given.taskId, input: { title: "Renamed" } });
    await tell(await next());
    await tell({ requests: sent.length });
  },

  async refusals() {
    const client = apollo(given.token);
    const input = { title: "Never" };
    const stale = await update(client, { id: given.taskId, input, ifVersion: 99 });
    await tell({ errors: stale.data.taskUpdate.errors });
    const invalid = await update(client, { id: given.taskId, input: { title: "" } });
    await tell({ errors: invalid.data.taskUpdate.errors });
    const foreign = await update(client, { id: given.foreignId, input }).catch(codes);
    await tell({ codes: foreign });
  },

  async live() {
    const client = apollo(given.token);
    const { next } = watched(client, 10);
    await tell(await next());
    const variables = { projectId: given.projectId, after: given.cursor };
    const event = new Promise((next, error) =>
      client.subscribe({ query: gql(TASK_CHANGED), variables }).subscribe({ next, error }),
    );
    await renameAsOther("Renamed");
    await tell(changed((await event).data));
    await tell(await next());
    await tell({ requests: sent.length });
  },

  async stranger() {
    const client = apollo("pws_wrong");
    await client.query({ query: gql(ORGANIZATION), variables: { slug: given.slug } }).catch(async (error) => {
      await tell({ codes: codes(error) });
    });
    const variables = { projectId: given.projectId };
    const closed = await new Promise((resolve) =>
      client.subscribe({ query: gql(TASK_CHANGED), variables }).subscribe({ next: ({ error }) => resolve(error) }),
    );
    await tell({ closed: Number(/event (\d+)/.exec(closed.message)[1]) });
  },

  async follow() {
    const variables = { id: given.organizationId, after: given.cursor };
    await endless((error) =>
      apollo(given.token)
        .subscribe({ query: gql(EVENTS), variables })
        .subscribe({
          next: ({ data, error: failure }) => (failure ? error(failure) : tell(data.events)),
          complete: () => error("it was completed"),
        }),
    );
  },
});
