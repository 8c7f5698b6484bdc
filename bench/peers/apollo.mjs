// Apollo Server on node:http, by executeHTTPGraphQLRequest as its documentation shows for integrations.
import http from 'node:http'
import { ApolloServer, HeaderMap } from '@apollo/server'
import { caller } from './database.mjs'
import { loaders, resolvers } from './resolvers.mjs'
import { typeDefs } from './schema.mjs'

const server = new ApolloServer({ typeDefs, resolvers, csrfPrevention: false })
await server.start()

http.createServer((request, response) => {
  const parts = []
  request.on('data', part => parts.push(part))
  request.on('end', async () => {
    const headers = new HeaderMap()
    for (const name in request.headers) headers.set(name, request.headers[name])
    const answer = await server.executeHTTPGraphQLRequest({
      httpGraphQLRequest: { method: request.method, headers, search: '', body: JSON.parse(Buffer.concat(parts).toString()) },
      context: async () => ({ caller: caller(request.headers), loaders: loaders() }),
    })
    for (const [name, value] of answer.headers) response.setHeader(name, value)
    response.statusCode = answer.status || 200
    response.end(answer.body.string)
  })
}).listen(Number(process.env.PORT), '127.0.0.1')
