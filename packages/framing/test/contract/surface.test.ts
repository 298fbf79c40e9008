import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as framing from '../../src/index.js';

const VALUES = [
  'DEFAULT_LIMITS',
  'FRAMING_REASONS',
  'FrameDecoder',
  'FramingError',
  'HEADER_BYTES',
  'MAX_SOCKET_PATH_BYTES',
  'checkSocketPath',
  'connectFrames',
  'connectSocket',
  'createFrameServer',
  'encodeFrame',
  'isFramingError',
  'readFrame',
  'recvMessage',
  'removeStaleSocket',
  'requestOnce',
  'sendMessage',
  'writeFrame',
];
const TYPES = [
  'Codec',
  'ConnectOptions',
  'FrameConnection',
  'FrameDecoderOptions',
  'FrameLimits',
  'FrameServer',
  'FrameServerOptions',
  'FramingErrorInit',
  'FramingReason',
  'ListenTarget',
  'RequestOnceOptions',
  'StreamFrameOptions',
];

it('exports exactly this', () => {
  expect(Object.keys(framing).sort()).toEqual(VALUES);
  const index = readFileSync(new URL('../../src/index.ts', import.meta.url), 'utf8');
  const names = [...index.matchAll(/export (type )?\{([^}]*)\}/g)].flatMap(([, all, list]) =>
    (list ?? '')
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => all !== undefined || entry.startsWith('type '))
      .map((entry) => entry.replace('type ', '')),
  );
  expect(names.filter((name) => name !== '').sort()).toEqual(TYPES);
});
