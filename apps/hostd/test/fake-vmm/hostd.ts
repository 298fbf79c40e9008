/**
 * hostd as a program of its own, with the fake VMM in place of QEMU and nothing else changed. It loads everything,
 * says `loaded`, and starts when its parent says so: so a killed hostd is followed by the next one without delay.
 */
import { toCodedError } from '@mvm/protocol';
import { destination, pino } from 'pino';
import type { HostdConfig } from '../../src/config/settings.js';
import { createFailpoint, type FailpointSetting } from '../../src/crash/failpoint.js';
import { startDaemon } from '../../src/daemon.js';
import { errorForLog } from '../../src/system/log-error.js';
import { createFakeVmm, type Fault, type VmmCall } from './driver.js';

/** What the parent says. A fault is met once, by the next such call, on whichever VM. */
export type ToHostd =
  | {
      readonly type: 'start';
      readonly config: HostdConfig;
      readonly executionLogPath: string;
      readonly drainMs: number;
      readonly failpoint: FailpointSetting;
    }
  | { readonly type: 'fault'; readonly call: VmmCall; readonly fault: Fault }
  | { readonly type: 'forget-faults' };

/** What it answers. */
export type FromHostd =
  | { readonly type: 'loaded' | 'serving' | 'armed' }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'met'; readonly call: VmmCall; readonly fault: Fault };

const say = (message: FromHostd): void => {
  process.send?.(message);
};

const logger = pino(
  { level: 'trace', base: null, serializers: { err: errorForLog } },
  destination({ fd: 2, sync: true }),
);
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    logger.fatal({ err: error }, 'bug: unhandled error; ending');
    process.exit(70);
  });
}

const faults: { call: VmmCall; fault: Fault }[] = [];
const faultOf = (call: VmmCall): Fault | null => {
  const at = faults.findIndex((one) => one.call === call);
  const [met] = at < 0 ? [] : faults.splice(at, 1);
  if (met === undefined) return null;
  say({ type: 'met', ...met });
  return met.fault;
};

process.on('message', (message: ToHostd) => {
  if (message.type === 'fault') faults.push({ call: message.call, fault: message.fault });
  if (message.type === 'forget-faults') faults.length = 0;
  if (message.type !== 'start') {
    say({ type: 'armed' });
    return;
  }
  const { config, executionLogPath, failpoint, drainMs } = message;
  startDaemon(config, logger, null, {
    hooks: createFailpoint(failpoint),
    createVmm: (_config, _logger, boundLog) =>
      createFakeVmm({ executionLogPath, drainMs, faultOf, boundLog }),
  }).then(
    () => say({ type: 'serving' }),
    (error: unknown) => {
      say({ type: 'failed', message: `${toCodedError(error).message}` });
      process.exit(1);
    },
  );
});
// The parent's end is ours.
process.on('disconnect', () => process.exit(0));
say({ type: 'loaded' });
