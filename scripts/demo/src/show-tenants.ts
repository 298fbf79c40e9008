/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
import { collectGreetings, type Greeting } from './greetings.js';
import type { DemoHost } from './host.js';
import { prepareImage } from './image.js';
import { listInstances } from './instances.js';
import type { Mvm } from './mvm.js';
import { startProgress } from './progress.js';
import { heading } from './report.js';
import type { Stages } from './stages.js';

export interface ShowOptions {
  readonly host: DemoHost;
  readonly mvm: Mvm;
  readonly stages: Stages;
  readonly signal: AbortSignal;
  /** Where the guest image is kept between runs. */
  readonly imageCache: string;
  /** The desired state that is applied. */
  readonly example: string;
}

/**
 * The demo itself: everything between an untouched host and guests that have greeted. Resolves to the addresses of
 * the instances; rejects as soon as one part fails.
 */
export async function showTenants(options: ShowOptions): Promise<string[]> {
  const { host, mvm, stages, signal } = options;
  const stage = <T>(name: string, work: () => Promise<T>, describe?: (result: T) => string): Promise<T> => {
    signal.throwIfAborted();
    return stages.run(name, work, describe);
  };

  const image = await stage(
    'guest image',
    () => prepareImage(options.imageCache),
    ({ built }) => (built ? 'built' : 'already built'),
  );
  await stage(
    'namespace, user',
    () => host.prepare(),
    () => `a network of its own, files in ${host.state().dir}`,
  );
  await stage(
    'hostd',
    () => host.startHostd(),
    ({ pid }) => `root, ten capabilities, process ${pid}`,
  );
  await stage('register image', () =>
    mvm.read([
      ...[
        'image',
        'add',
        'demo',
        '--kernel',
        image.kernel,
        '--initrd',
        image.initrd,
        '--rootfs',
        image.rootfs,
      ],
      ...['--kernel-args', image.kernelArgs],
    ]),
  );
  await stage(
    'agentd',
    () => host.startAgentd(),
    ({ pid }) => `user mvm, no capabilities, process ${pid}`,
  );

  console.log(heading('mvm apply -f examples/two-tenants.yaml --wait'));
  await stage('apply, boot', () => mvm.show(['apply', '-f', options.example, '--wait', '--timeout', '180s']));
  const instances = (await listInstances(mvm)).map(({ address }) => address);
  const greetings = await stage(
    'greetings',
    () => withProgress(instances, mvm, signal),
    (all) => `${all.length} guests have greeted and reached their gateways`,
  );

  console.log(heading('mvm instance list'));
  await mvm.show(['instance', 'list']);
  console.log(heading('The guests on their own consoles (mvm instance logs …)'));
  for (const { instance, line } of greetings) console.log(`  ${instance}\n    ${line}`);
  return instances;
}

async function withProgress(
  instances: readonly string[],
  mvm: Mvm,
  signal: AbortSignal,
): Promise<Greeting[]> {
  const progress = startProgress('waiting for the guests to greet');
  try {
    return await collectGreetings(mvm, instances, {
      timeoutMs: 120_000,
      signal,
      onProgress: (greeted) => progress.update(`${greeted} of ${instances.length} guests have greeted`),
    });
  } finally {
    progress.end();
  }
}
