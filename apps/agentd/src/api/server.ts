import swagger from '@fastify/swagger';
import { errorBodySchema, type RouteDefinition, routes } from '@mvm/agentd-api';
import { isCodedError } from '@mvm/protocol';
import { parseDesiredState } from '@mvm/protocol/state';
import type { PeerCredentials } from '@mvm/unix-peer';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifySchemaCompiler } from 'fastify';
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import { MAX_DESIRED_BYTES } from '../desired/parse-document.js';
import { auditHandlers } from './audit-handlers.js';
import { daemonHandlers } from './daemon-handlers.js';
import { answerFor, noRoute } from './error-answer.js';
import type { ApiContext, Handlers } from './handler-types.js';
import { instanceHandlers } from './instance-handlers.js';
import { operationHandlers } from './manual-operations.js';
import { networkHandlers } from './network-handlers.js';
import { objectHandlers } from './object-handlers.js';
import { whyHandlers } from './why-handlers.js';

/** Connections at one time; one more is closed at once. */
const MAX_CONNECTIONS = 512;

type AnyHandler = (
  input: { params: unknown; query: unknown; body: unknown },
  caller: PeerCredentials,
) => Promise<unknown>;

/** As zod checks it, but with the message that names every wrong field of a desired state by its path. */
const desiredBodyCompiler: FastifySchemaCompiler<unknown> = (compiled) => {
  if (compiled.httpPart !== 'body')
    return validatorCompiler(compiled as Parameters<typeof validatorCompiler>[0]);
  return (data: unknown) => {
    try {
      return { value: parseDesiredState(data) };
    } catch (error) {
      if (isCodedError(error)) return { error };
      throw error;
    }
  };
};

function addRoute(
  app: FastifyInstance,
  name: string,
  route: RouteDefinition,
  handler: AnyHandler,
  readPeer: ApiContext['readPeer'],
): void {
  app.route({
    method: route.method,
    url: route.path,
    schema: {
      operationId: name,
      summary: route.summary,
      params: route.params,
      querystring: route.query,
      ...(route.body === null ? {} : { body: route.body }),
      response: { 200: route.response, '4xx': errorBodySchema, '5xx': errorBodySchema },
      ...(route.format === 'text' ? { produces: ['text/plain'] } : {}),
    } as object,
    ...(name === 'putDesired' ? { validatorCompiler: desiredBodyCompiler } : {}),
    ...(route.format === 'text' ? { serializerCompiler: () => String } : {}),
    handler: async (request, reply) => {
      if (route.format === 'text') reply.type('text/plain; version=0.0.4; charset=utf-8');
      const caller = readPeer(request.raw.socket);
      return handler({ params: request.params, query: request.query, body: request.body }, caller);
    },
  });
}

/**
 * The HTTP server, not yet listening: every route of `@mvm/agentd-api`, checked by its schemas on the way in and out,
 * and `GET /openapi.json`, which describes them. Every failure is answered as `{"error": …}`.
 */
export async function createApiServer(context: ApiContext, logger: Logger): Promise<FastifyInstance> {
  // One line per request is for debugging; what the daemon does, the loop logs.
  const level = logger.level === 'info' ? 'warn' : logger.level;
  const apiLogger: FastifyBaseLogger = logger.child({ part: 'api' }, { level });
  const app: FastifyInstance = Fastify({
    loggerInstance: apiLogger,
    bodyLimit: MAX_DESIRED_BYTES,
    // Time to send a whole request; an answer may take longer, because hostd may.
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    routerOptions: { maxParamLength: 256 },
    forceCloseConnections: true,
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((thrown, request, reply) => {
    const { status, error, bug } = answerFor(thrown);
    if (bug) request.log.error({ err: thrown }, 'a request failed unexpectedly');
    return reply.status(status).type('application/json').serializer(JSON.stringify).send({ error });
  });
  app.addHook('onRequest', async (request) => {
    context.checkAccess(context.readPeer(request.raw.socket), request.method);
  });
  app.setNotFoundHandler((request) => {
    throw noRoute(request.method, request.url);
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'mvm-agentd',
        description:
          'HTTP on a Unix socket. Root and members of the operators’ group may use all of it; members of the viewers’ group, where there is one, only GET.',
        version: context.version,
      },
    },
    transform: jsonSchemaTransform,
  });
  const handlers: Handlers = {
    ...daemonHandlers(context),
    ...objectHandlers(context),
    ...instanceHandlers(context),
    ...operationHandlers(context),
    ...networkHandlers(context),
    ...auditHandlers(context),
    ...whyHandlers(context),
  };
  for (const [name, route] of Object.entries<RouteDefinition>(routes)) {
    // `Handlers` has one handler per route, whose input is what the route's schemas decode.
    addRoute(app, name, route, handlers[name as keyof Handlers] as unknown as AnyHandler, context.readPeer);
  }
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  return app;
}
