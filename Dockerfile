# One image for the worker, the command and the example page.
#   docker build -t warren .
#   docker run -e AMQP_URL=amqp://… -v ./workers:/app/workers:ro warren
FROM node:24-bookworm-slim AS base
WORKDIR /app
COPY package.json package-lock.json ./

FROM base AS build
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY bin/build.js bin/
COPY src src
COPY topology topology
RUN npm run build

# TypeScript worker files run through tsx, which is a dependency of the product, not of its development.
FROM base AS packages
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && npm cache clean --force

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY workers workers
COPY examples examples
RUN ln -s /app/dist/src/cli/main.js /usr/local/bin/warren
USER node
EXPOSE 3000
# Alive, not ready: where an unhealthy container is replaced (Swarm), a broker that is away must not restart workers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.WARREN_PORT || 3000}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# No npm and no shell in between: this process is PID 1, and SIGTERM reaches it.
CMD ["node", "dist/src/cli/main.js", "work"]
