import { z } from 'zod';
import { embeddedTableOf } from '../../src/json/embedded-message.js';
import {
  desiredStateSchema,
  helloSchema,
  plannableRequestSchemas,
  requestIdSchema,
  requestOriginSchema,
  v2RequestSchemas,
  v2ResponseSchemas,
  welcomeSchema,
} from '../../src/schemas.js';
import { v1RequestSchemas, v1ResponseSchemas } from '../../src/v1/index.js';

type JsonSchema = Record<string, unknown>;

function struct(schema: z.ZodType): JsonSchema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    // What may be sent: a field with a default may be absent.
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (embeddedTableOf(zodSchema as unknown as z.ZodType) === plannableRequestSchemas)
        jsonSchema.$ref = '#/$defs/PlannableRequest';
      else if (zodSchema._zod.def.type === 'custom')
        throw new Error('a schema that JSON Schema has no form for');
    },
  }) as JsonSchema;
  return rest;
}

function only(member: string, content: JsonSchema): JsonSchema {
  return {
    type: 'object',
    properties: { [member]: content },
    required: [member],
    additionalProperties: false,
  };
}

/** One message of a table: `{"Tag":{…}}`, or `"Tag"` and `{"Tag":null}` for one without fields. */
function tagged(table: Readonly<Record<string, z.ZodObject | null>>): JsonSchema {
  return {
    anyOf: Object.entries(table).flatMap(([tag, schema]) =>
      schema === null
        ? [{ type: 'string', const: tag }, only(tag, { type: 'null' })]
        : [only(tag, struct(schema))],
    ),
  };
}

function envelope(
  member: string,
  content: JsonSchema,
  optional: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema {
  return {
    type: 'object',
    properties: { id: struct(requestIdSchema), [member]: content, ...optional },
    required: ['id', member],
  };
}

const dialect = 'https://json-schema.org/draft/2020-12/schema';

/** File name → JSON Schema of every version of the contract, generated from the zod schemas. */
export const jsonSchemas: Readonly<Record<string, JsonSchema>> = {
  'v1.json': {
    $schema: dialect,
    title: 'mvm host protocol, version 1',
    description:
      'Frame bodies. A decoder also refuses duplicate names, and takes drain_timeout_secs up to 2^64-1.',
    $defs: { Request: tagged(v1RequestSchemas), Response: tagged(v1ResponseSchemas) },
    anyOf: [{ $ref: '#/$defs/Request' }, { $ref: '#/$defs/Response' }],
  },
  'v2.json': {
    $schema: dialect,
    title: 'mvm host protocol, version 2',
    description:
      'Frame bodies after the negotiation, and Hello and Welcome. A decoder also refuses duplicate names.',
    $defs: {
      PlannableRequest: tagged(plannableRequestSchemas),
      Request: tagged(v2RequestSchemas),
      Response: tagged(v2ResponseSchemas),
      ClientFrame: {
        anyOf: [
          only('Hello', struct(helloSchema)),
          envelope('request', { $ref: '#/$defs/Request' }, { origin: struct(requestOriginSchema) }),
        ],
      },
      ServerFrame: {
        anyOf: [
          only('Welcome', struct(welcomeSchema)),
          only('Error', struct(v2ResponseSchemas.Error)),
          envelope('response', { $ref: '#/$defs/Response' }),
          { type: 'object', properties: { event: true }, required: ['event'] },
        ],
      },
    },
    anyOf: [{ $ref: '#/$defs/ClientFrame' }, { $ref: '#/$defs/ServerFrame' }],
  },
  'desired-state.json': {
    $schema: dialect,
    title: 'mvm desired state, schema version 1',
    ...struct(desiredStateSchema),
  },
};
