// The audits of graphql-http: whether a server follows "GraphQL over HTTP".
import { serverAudits } from "graphql-http";
import { given, tell } from "./driver.mjs";

for (const audit of serverAudits({ url: given.url })) {
  const { id, name, status, reason, response } = await audit.fn();
  const answer = response && `${response.status} ${response.headers.get("content-type")}`;
  await tell({ id, name, status, reason, answer });
}
