// Apollo Client with automatic persisted queries: it sends the hash of a document, and the text where that is unknown.
import { createHash } from "node:crypto";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { createPersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { given, play, sent, tell, watchedFetch } from "./driver.mjs";

// Nobody has sent these before: the server keeps what it was sent.
const QUERY = gql(`query Persisted_${given.unique}($slug: String!) { organization(slug: $slug) { id name } }`);
const UPDATE = gql(`mutation Persisted_${given.unique}($id: ID!, $input: TaskUpdateInput!) {
  taskUpdate(id: $id, input: $input) { task { id title } errors { code } } }`);

/** A new application each time, so that nothing is cached in it. */
function apollo() {
  const headers = { authorization: `Bearer ${given.token}` };
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const { useGETForHashedQueries } = given;
  return new ApolloClient({
    link: createPersistedQueryLink({ sha256, useGETForHashedQueries }).concat(
      new HttpLink({ uri: given.url, fetch: watchedFetch, headers }),
    ),
    cache: new InMemoryCache(),
  });
}

/** What was sent since the last time. */
const requests = () =>
  sent.splice(0).map(({ method, url, body }) => {
    const asked = body ? JSON.parse(body) : Object.fromEntries(url.searchParams);
    return `${method} ${asked.query ? "text and hash" : "hash"}`;
  });

await play({
  async persisted() {
    for (const _ of [1, 2]) {
      const { data } = await apollo().query({ query: QUERY, variables: { slug: given.slug } });
      await tell({ name: data.organization.name, requests: requests() });
    }
    for (const title of ["Renamed", "Renamed again"]) {
      const { data } = await apollo().mutate({ mutation: UPDATE, variables: { id: given.taskId, input: { title } } });
      await tell({ title: data.taskUpdate.task.title, requests: requests() });
    }
  },
});
