import fc from 'fast-check';

/** Pieces of text that parsers get wrong. */
const FRAGMENTS = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  'null',
  'true',
  'false',
  '0',
  '-0',
  '01',
  '1.0',
  '1e2',
  '1e999',
  '-1',
  '+1',
  '.5',
  '1.',
  'NaN',
  '18446744073709551615',
  '18446744073709551616',
  '9007199254740993',
  '65536',
  '\u0000',
  '\u0001',
  '\u007f',
  '\u00a0',
  '\u2028',
  '\ufeff',
  'é',
  '😀',
  '\\u0000',
  '\\ud83d\\ude00',
  '\\ud83d',
  '\\ude00',
  '\\x',
  '\\u12',
  '"x":1,',
  '"__proto__":{},',
  '"constructor":1,',
  '"type":"x",',
  '"tenant_id":"z",',
  '"\\u0074enant_id":"z",',
  '"net":{},',
  '"force":true,',
  '"drain_timeout_secs":null,',
  '"id":1,',
  '"request":"Ping",',
  '"message":"m",',
  '"Ping"',
  '"Error"',
  '{"Hello":{}}',
  '{"Ping":null}',
  '//',
  '/**/',
  "'",
  '[[[[[[[[',
  '{"a":{"a":',
] as const;

interface Edit {
  readonly kind: 'insert' | 'remove' | 'replace' | 'repeat' | 'byte';
  readonly at: number;
  readonly length: number;
  readonly fragment: string;
  readonly byte: number;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom('insert', 'remove', 'replace', 'repeat', 'byte'),
  at: fc.nat(),
  length: fc.integer({ min: 1, max: 12 }),
  fragment: fc.constantFrom(...FRAGMENTS),
  byte: fc.integer({ min: 0, max: 255 }),
});

function apply(body: Uint8Array, change: Edit): Uint8Array {
  const at = change.at % (body.length + 1);
  const before = body.subarray(0, at);
  const piece = body.subarray(at, at + change.length);
  const after = body.subarray(at + change.length);
  const fragment = new TextEncoder().encode(change.fragment);
  switch (change.kind) {
    case 'insert':
      return Uint8Array.from([...before, ...fragment, ...piece, ...after]);
    case 'remove':
      return Uint8Array.from([...before, ...after]);
    case 'replace':
      return Uint8Array.from([...before, ...fragment, ...after]);
    case 'repeat':
      return Uint8Array.from([...before, ...piece, ...piece, ...after]);
    case 'byte':
      return Uint8Array.from([...before, change.byte, ...body.subarray(at + 1)]);
  }
}

/** One to four mistakes in one of the given bodies. */
export function mutated(bodies: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.constantFrom(...bodies), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([body, edits]) => edits.reduce(apply, body));
}
