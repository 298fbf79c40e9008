import type { StreamSpec } from '@mvm/protocol/guest';
import { expect, it } from 'vitest';
import { encodeSpec } from './stream-records.js';

it('writes a specification as records', () => {
  const spec: StreamSpec = {
    kind: 'exec',
    args: ['sh', '-c', 'a=b\nc'],
    env: ['K=v=w'],
    cwd: '/srv',
    user: 'app',
    tty: { rows: 24, cols: 80 },
    stdin: true,
  };
  expect(Buffer.from(encodeSpec(spec)).toString()).toBe(
    'kind=exec\0arg=sh\0arg=-c\0arg=a=b\nc\0env=K=v=w\0cwd=/srv\0user=app\0tty=1\0rows=24\0cols=80\0stdin=1\0',
  );
});

it.each<[string, StreamSpec]>([
  ['a program without a name', { kind: 'exec', args: [] }],
  ['one with an empty name', { kind: 'exec', args: [''] }],
  ['a connection without a port', { kind: 'connect' }],
  ['a program with a port', { kind: 'exec', args: ['a'], port: 1 }],
  ['a path that is not absolute', { kind: 'send_tree', path: 'a' }],
  ['too many arguments', { kind: 'exec', args: ['a', 'b'.repeat(131_072), 'c'.repeat(131_072)] }],
])('refuses %s', (_what, spec) => {
  expect(() => encodeSpec(spec)).toThrow(expect.objectContaining({ reason: 'guest_stream.invalid' }));
});
