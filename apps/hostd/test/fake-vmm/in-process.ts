import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { addImage, imagesDir } from '@mvm/image-store';
import { loadSettings } from '@mvm/settings';
import { testUidBase } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { pino } from 'pino';
import { ENVIRONMENT_PREFIX, settings } from '../../src/config/settings.js';
import { type Daemon, startDaemon } from '../../src/daemon.js';
import { compileFakeVmm } from './compile.js';
import { createFakeVmm, type FakeVmmOptions } from './driver.js';

/** A hostd in this process, with the fake VMM in place of QEMU and nothing else changed. */
export interface InProcessHostd {
  /** Everything that it logged, parsed, level `trace` and above. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** Register an image that boots only in the fake VMM. */
  registerImage(name: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts it for a test host, which it replaces the daemon of. */
export async function startInProcess(
  host: Host,
  options: Omit<FakeVmmOptions, 'executionLogPath'> = {},
): Promise<InProcessHostd> {
  compileFakeVmm();
  const log: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n')) if (line !== '') log.push(JSON.parse(line));
      done();
    },
  });
  const { config } = loadSettings(ENVIRONMENT_PREFIX, settings, {
    flags: {
      stateDir: host.stateDir,
      runDir: host.runDir,
      socket: host.socketPath,
      cgroupParent: host.cgroupParent,
      group: 'mvmh-none',
      vmUidBase: String(testUidBase()),
    },
    environment: {},
    file: null,
  });
  const executionLogPath = join(host.dir, 'execution-log');
  const daemon: Daemon = await startDaemon(config, pino({ level: 'trace', base: null }, sink), null, {
    createVmm: (_config, _logger, boundLog) =>
      createFakeVmm({ drainMs: 0, ...options, executionLogPath, boundLog }),
  });
  return {
    log,
    registerImage: async (name) => {
      const dir = join(host.dir, `image-${name}`);
      await mkdir(dir, { recursive: true });
      const kernel = join(dir, 'kernel');
      const rootfs = join(dir, 'rootfs');
      await writeFile(
        kernel,
        Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.from(name.padEnd(1024))]),
      );
      await writeFile(rootfs, '');
      await execa('mkfs.ext4', ['-q', rootfs, '1M']);
      await addImage(imagesDir(host.stateDir), { name, kernel, rootfs, kernelArgs: '' });
    },
    close: async () => {
      await daemon.close({ force: true });
    },
  };
}
