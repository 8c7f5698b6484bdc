// Answers without looking: what the load generator can ask for at most.
import http from 'node:http'

const BODY = JSON.stringify({ data: { viewer: { id: 'x'.repeat(36), name: 'Person', email: 'person@bench.test' } } })
http.createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    response.setHeader('content-type', 'application/json')
    response.setHeader('content-length', BODY.length)
    response.end(BODY)
  })
}).listen(Number(process.env.PORT), '127.0.0.1')
