import { CodedError } from '@mvm/protocol';
import { expect, test } from 'vitest';
import { DIGEST, poolRecord } from '../../test/records.js';
import type { PoolRevisions } from '../state/pool-revisions.js';
import type { PoolRecord } from '../state/records.js';
import type { StateStore } from '../state/store.js';
import { createKeyedMutex } from './keyed-mutex.js';
import { createPoolImages } from './pool-image.js';

const address = { tenant_id: 'acme', pool_id: 'workers' };

/** A host on which `demo` is registered, and nothing else; what a start's activation leaves recorded in the pool. */
async function recordedAfterActivation(pool: PoolRecord): Promise<PoolRecord['image']> {
  let record = pool;
  const store: Pick<StateStore, 'tenant' | 'pool' | 'instancesOf' | 'savePool'> = {
    tenant: () => ({}) as ReturnType<StateStore['tenant']>,
    pool: () => record,
    instancesOf: () => [],
    savePool: async (next) => {
      record = next;
    },
  };
  const revisions: PoolRevisions = {
    resolve: async (ref) => {
      if (ref !== 'demo' && ref !== `demo@${DIGEST}`) {
        throw new CodedError({ code: 'not_found', reason: 'image.not_found', message: ref });
      }
      return { name: 'demo', digest: DIGEST } as Awaited<ReturnType<PoolRevisions['resolve']>>;
    },
    activate: async () => {},
  };
  const images = createPoolImages({ store: store as StateStore, revisions, mutex: createKeyedMutex() });
  await images.activate(address, { name: 'demo', digest: DIGEST });
  return record.image;
}

test('a start records the image that it boots in a pool that has none', async () => {
  expect(await recordedAfterActivation(poolRecord({ image: null }))).toEqual({
    name: 'demo',
    digest: DIGEST,
  });
});

test('but not in one that wants another image since the start was planned', async () => {
  expect(await recordedAfterActivation(poolRecord({ image: null, flake_ref: 'other' }))).toBeNull();
});
