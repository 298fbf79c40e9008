import { describe, expect, it } from 'vitest';
import { type ClientFrame, clientFrameCodec, type ServerFrame, serverFrameCodec } from '../../src/index.js';
import { greetingFrames, helloFrame, v2Requests, v2Responses } from '../samples/messages.js';
import { expectCommitted, listFolder, readGolden } from './golden-files.js';

/** File name → frame, for every frame of the version under development. */
const clientFrames: Record<string, ClientFrame> = { 'client.Hello.json': helloFrame };
const serverFrames: Record<string, ServerFrame> = {};
for (const [name, frame] of Object.entries(greetingFrames)) serverFrames[`server.${name}.json`] = frame;
for (const [tag, variants] of Object.entries(v2Requests)) {
  for (const [variant, request] of Object.entries(variants)) {
    clientFrames[`request.${tag}.${variant}.json`] = { type: 'request', id: 7, request };
  }
}
for (const [tag, variants] of Object.entries(v2Responses)) {
  for (const [variant, response] of Object.entries(variants)) {
    serverFrames[`response.${tag}.${variant}.json`] = { type: 'response', id: 7, response };
  }
}

describe('goldens of the version under development', () => {
  it.each(Object.entries(clientFrames))('%s', (name, frame) => {
    expectCommitted(`testdata/HEAD/${name}`, clientFrameCodec.encode(frame));
    const bytes = readGolden(`testdata/HEAD/${name}`);
    expect(clientFrameCodec.decode(bytes)).toEqual(frame);
    expect(clientFrameCodec.encode(clientFrameCodec.decode(bytes))).toEqual(bytes);
  });

  it.each(Object.entries(serverFrames))('%s', (name, frame) => {
    expectCommitted(`testdata/HEAD/${name}`, serverFrameCodec.encode(frame));
    const bytes = readGolden(`testdata/HEAD/${name}`);
    expect(serverFrameCodec.decode(bytes)).toEqual(frame);
    expect(serverFrameCodec.encode(serverFrameCodec.decode(bytes))).toEqual(bytes);
  });

  it('leave no file over', () => {
    expect(listFolder('testdata/HEAD')).toEqual(
      [...Object.keys(clientFrames), ...Object.keys(serverFrames)].sort(),
    );
  });
});
