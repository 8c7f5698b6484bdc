# One image for every command: planwire serve, work, migrate, seed.
FROM python:3.11-slim
WORKDIR /app
COPY . .
RUN bin/setup && rm -rf graph/graphiql/node_modules tests/clients/node_modules
ENV PATH="/app/.venv/bin:$PATH"
USER nobody
CMD ["planwire", "serve", "--host", "0.0.0.0"]
