import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@mvm/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { disagreements, readRecords, recordedPart } from '../model/assert-consistent.js';
import { createHarness, type Harness, lastWords } from '../model/harness.js';
import { connectRaw } from '../model/raw-client.js';
import { type DrawnOperation, drawnOperation, operationOf, requestOf } from '../model/requests.js';
import { modelRuns } from '../model/settings.js';
import { instancesOf, type State, usageOf } from '../model/state.js';

// Many clients at once that do to their connections what clients do: pipeline, shut their half, vanish before or after an
// answer, stop within a frame, talk nonsense. Whatever was begun is finished or undone, everybody who stays is answered,
// and nothing is left.

const { parameters, timeoutMs } = modelRuns(20);
let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness?.dispose());

/** What a client does to its connection once it has sent its requests. */
const MANNERS = ['stay', 'half-close', 'vanish', 'vanish-later', 'torn', 'nonsense'] as const;
interface Client {
  readonly version: 1 | 2;
  readonly drawn: readonly DrawnOperation[];
  readonly manners: (typeof MANNERS)[number];
  /** ms before it connects. */
  readonly after: number;
}

// A quota that is lowered under what runs would hide one that was exceeded; the model tests have those.
const client: fc.Arbitrary<Client> = fc.record({
  version: fc.constantFrom(1, 2, 2),
  drawn: fc.array(
    drawnOperation.filter((made) => made.kind !== 'given' || made.operation.op !== 'ensure-tenant'),
    { minLength: 1, maxLength: 5, size: 'max' },
  ),
  manners: fc.constantFrom(...MANNERS),
  after: fc.nat(60),
});

const bodyOf = (made: DrawnOperation, state: State): unknown => {
  const operation = operationOf(made, state);
  if (operation === null) return 'Ping';
  const { type, ...fields } = requestOf(operation);
  return { [type]: fields };
};

async function playVersionOne({ drawn, manners }: Client, state: State): Promise<void> {
  const connection = await connectRaw(harness.host.config.socket);
  const body = bodyOf(drawn[0] as DrawnOperation, state);
  if (manners === 'torn') connection.sendTorn(body);
  else if (manners === 'nonsense') connection.send({ Nonsense: {} });
  else connection.send(body);
  if (manners === 'half-close' || manners === 'nonsense') connection.halfClose();
  if (manners === 'vanish' || manners === 'torn') connection.vanish();
  else await connection.heard(1);
  connection.vanish();
  await connection.closed;
}

async function playVersionTwo({ drawn, manners }: Client, state: State): Promise<void> {
  const connection = await connectRaw(harness.host.config.socket);
  connection.send({ Hello: { versions: [2], client: 'chaos' } });
  await connection.heard(1);
  connection.send(...drawn.map((made, id) => ({ id, request: bodyOf(made, state) })));
  if (manners === 'torn') connection.sendTorn({ id: 99, request: 'Ping' });
  if (manners === 'nonsense') connection.send(['nonsense']);
  if (manners === 'half-close') connection.halfClose();
  if (manners === 'stay' || manners === 'half-close') {
    await connection.heard(1 + drawn.length);
    const ids = connection.answers.slice(1).map((answer) => (answer as { id: number }).id);
    expect([...ids].sort()).toEqual(drawn.map((_, id) => id));
  }
  if (manners === 'vanish-later') await connection.heard(2);
  if (manners === 'nonsense') await connection.closed;
  connection.vanish();
  await connection.closed;
}

/** Nothing is under way any more: no operation is named, and the records stay as they are. */
async function settled(): Promise<State> {
  let before = '';
  return await until('settled', async () => {
    await sleep(60);
    const { instances } = await harness.host.client.request({ type: 'ListInstances' });
    let now: State;
    try {
      now = readRecords(harness.host).state;
    } catch {
      // A record that went away between two looks.
      return null;
    }
    const quiet = recordedPart(now) === before && instances.every(({ operation }) => operation === null);
    before = recordedPart(now);
    return quiet ? now : null;
  });
}

/** What must hold of any state, however it came about. */
function illegal(state: State): string[] {
  const problems: string[] = [];
  for (const [tenant, { quotas, pools }] of Object.entries(state)) {
    const used = usageOf(state, tenant);
    if (used.running > quotas.running || used.vcpus > quotas.vcpus || used.memMib > quotas.memMib) {
      problems.push(`${tenant} uses ${JSON.stringify(used)} of ${JSON.stringify(quotas)}`);
    }
    if (Object.keys(pools).length > quotas.pools)
      problems.push(`${tenant} has ${Object.keys(pools).length} pools`);
    for (const [pool, { instances }] of Object.entries(pools)) {
      if (Object.keys(instances).length > quotas.instancesPerPool)
        problems.push(`${tenant}/${pool} has too many`);
    }
    const offsets = instancesOf(state).filter(({ at }) => at.tenant === tenant);
    if (new Set(offsets.map(({ instance }) => instance.offset)).size < offsets.length) {
      problems.push(`two instances of ${tenant} share an address`);
    }
  }
  return problems;
}

test(
  'whatever clients do to their connections, what was begun is finished or undone, and nothing is left',
  async () => {
    const began = performance.now();
    let ran = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(client, { minLength: 3, maxLength: 10, size: 'max' }),
        async (clients: Client[]) => {
          ran += 1;
          let failed = true;
          const state = await harness.begin();
          try {
            await Promise.all(
              clients.map(async (one) => {
                await sleep(one.after);
                // As the records are at that moment, so that there is something to operation about.
                const now = await harness.host.client
                  .request({ type: 'ListInstances' })
                  .then(() => readRecords(harness.host).state)
                  .catch(() => state);
                await (one.version === 1 ? playVersionOne(one, now) : playVersionTwo(one, now));
              }),
            );
            const end = await settled();
            expect(illegal(end)).toEqual([]);
            const problems = await disagreements(harness.host, end, new Map());
            if (problems.length > 0) throw new Error(`${problems.join('\n')}\n${lastWords(harness.host)}`);
            failed = false;
          } finally {
            await harness.end(failed);
          }
        },
      ),
      parameters as fc.Parameters<[Client[]]>,
    );
    const ms = Math.round(performance.now() - began);
    process.stderr.write(`model, over sockets: seed ${parameters.seed}, ${ran} histories, ${ms} ms\n`);
  },
  timeoutMs,
);
