import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { addImage, imagesDir } from '@mvm/image-store';
import { testUidBase } from '@mvm/testkit';
import { execa } from 'execa';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/load-config.js';
import { type Daemon, startDaemon } from '../../src/daemon.js';
import type { TestHost } from '../daemon.js';
import { compileStandIn } from './compile.js';
import { createStandInVmm, type StandInOptions } from './driver.js';

/** A hostd in this process, with the stand-in VMM in place of QEMU and nothing else changed. */
export interface InProcessHostd {
  /** Everything that it logged, parsed, level `trace` and above. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** Register an image that boots only in the stand-in. */
  registerImage(name: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts it for a test host, which it replaces the daemon of. */
export async function startInProcess(
  host: TestHost,
  options: Omit<StandInOptions, 'witnessPath'> = {},
): Promise<InProcessHostd> {
  compileStandIn();
  const log: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n')) if (line !== '') log.push(JSON.parse(line));
      done();
    },
  });
  const { config } = loadConfig({
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
  const witnessPath = join(host.dir, 'witness');
  const daemon: Daemon = await startDaemon(
    config,
    pino({ level: 'trace', base: null }, sink),
    null,
    null,
    () => createStandInVmm({ drainMs: 0, ...options, witnessPath }),
  );
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
