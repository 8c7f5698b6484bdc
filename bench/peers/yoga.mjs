// GraphQL Yoga on node:http with its own caches of parsed and validated documents.
import http from 'node:http'
import { createSchema, createYoga } from 'graphql-yoga'
import { caller } from './database.mjs'
import { loaders, resolvers } from './resolvers.mjs'
import { typeDefs } from './schema.mjs'

const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }),
  logging: false,
  graphiql: false,
  context: ({ request }) => ({ caller: caller({ authorization: request.headers.get('authorization') }), loaders: loaders() }),
})
http.createServer(yoga).listen(Number(process.env.PORT), '127.0.0.1')
