import { isCodedError } from '@mvm/errors';
import { expect, it } from 'vitest';
import { clientFrameCodec } from '../v2/frames.js';

const decode = (request: string) =>
  clientFrameCodec.decode(new TextEncoder().encode(`{"id":1,"request":${request}}`));

it('a message inside a message is read with all the care that one by itself gets', () => {
  expect(decode('{"PlanRequest":{"request":"Ping"}}')).toEqual({
    type: 'request',
    id: 1,
    request: { type: 'PlanRequest', request: { type: 'Ping' } },
  });
  expect(
    decode('{"PlanRequest":{"later":[{}],"request":{"RemoveTenant":{"tenant_id":"a","x":1}}}}'),
  ).toMatchObject({
    request: { request: { type: 'RemoveTenant', tenant_id: 'a' } },
  });
});

it.each([
  ['{"PlanRequest":{"request":{"PlanRequest":{"request":"Ping"}}}}', 'protocol.unknown_message'],
  ['{"PlanRequest":{"request":"StartInstance"}}', 'protocol.invalid_message'],
  [
    '{"PlanRequest":{"request":{"RemoveTenant":{"tenant_id":"a","tenant_id":"b"}}}}',
    'protocol.duplicate_field',
  ],
  ['{"PlanRequest":{"request":{"RemoveTenant":{"tenant_id":"a"},"Ping":null}}}', 'protocol.invalid_message'],
  ['{"PlanRequest":{"request":{"ListInstances":{"limit":501}}}}', 'protocol.invalid_message'],
  ['{"PlanRequest":{"request":null}}', 'protocol.invalid_message'],
  ['{"PlanRequest":{}}', 'protocol.invalid_message'],
  ['"PlanRequest"', 'protocol.invalid_message'],
])('%s is refused', (request, reason) => {
  expect(decode(request)).toMatchObject({ type: 'invalid_request', id: 1, error: { reason } });
});

it('what is no message of the table cannot be written', () => {
  const request = { type: 'PlanRequest', request: { type: 'PlanRequest', request: { type: 'Ping' } } };
  for (const bad of [request, { type: 'PlanRequest', request: 'Ping' }, { type: 'PlanRequest' }]) {
    let thrown: unknown;
    try {
      clientFrameCodec.encode({ type: 'request', id: 1, request: bad as never });
    } catch (error) {
      thrown = error;
    }
    expect(isCodedError(thrown) && thrown.reason).toBe('protocol.unencodable');
  }
});
