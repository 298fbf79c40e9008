import { describe, expect, it } from 'vitest';
import {
  FIRST_NEGOTIATED_VERSION,
  PROTOCOL_HISTORY,
  PROTOCOL_VERSION,
  SUPPORTED_VERSIONS,
} from '../../src/versions.js';
import { listFolder } from './golden-files.js';

describe('version history', () => {
  it('ends with the current version', () => {
    expect(PROTOCOL_HISTORY.at(-1)?.version).toBe(PROTOCOL_VERSION);
  });

  it('counts up by one from 1, with dates that do not go back', () => {
    expect(PROTOCOL_HISTORY.map((entry) => entry.version)).toEqual(
      PROTOCOL_HISTORY.map((_entry, i) => i + 1),
    );
    const dates = PROTOCOL_HISTORY.map((entry) => entry.date);
    for (const date of dates) expect(new Date(`${date}T00:00:00Z`).toISOString().slice(0, 10)).toBe(date);
    expect(dates).toEqual([...dates].sort());
  });

  it('holds every supported version, ascending, the current one last', () => {
    const known: number[] = PROTOCOL_HISTORY.map((entry) => entry.version);
    for (const version of SUPPORTED_VERSIONS) expect(known).toContain(version);
    expect(SUPPORTED_VERSIONS).toEqual([...SUPPORTED_VERSIONS].sort((a, b) => a - b));
    expect(SUPPORTED_VERSIONS.at(-1)).toBe(PROTOCOL_VERSION);
    expect(SUPPORTED_VERSIONS).toContain(FIRST_NEGOTIATED_VERSION);
  });

  it('has a JSON Schema of every version', () => {
    const schemas = listFolder('schema').filter((name) => /^v\d+\.json$/.test(name));
    expect(schemas).toEqual(PROTOCOL_HISTORY.map((entry) => `v${entry.version}.json`));
  });
});
