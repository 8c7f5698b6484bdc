# One image for every command: planwire serve, work, migrate, seed.
FROM python:3.11-slim
WORKDIR /app
COPY . .
# Of the fonts, two weights are in use.
RUN bin/setup && rm -rf graph/graphiql/node_modules tests/clients/node_modules && \
    find domain/reports/fonts/node_modules -type f ! -path '*/400Regular/*.ttf' ! -path '*/700Bold/*.ttf' \
      ! -name 'LICENSE*' ! -name made-from -delete
ENV PATH="/app/.venv/bin:$PATH"
USER nobody
CMD ["planwire", "serve", "--host", "0.0.0.0"]
