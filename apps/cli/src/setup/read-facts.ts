import { kernelsDir, listKernels } from '@mvm/guest-boot';
import type { HostProbe } from '../doctor/host-probe.js';
import type { SetupFacts } from './plan-setup.js';

/** mvm's units in the order in which they start. */
const UNITS = ['mvm-vms.service', 'mvm-hostd.socket', 'mvm-hostd.service', 'mvm-agentd.service'] as const;
const UNIT_DIRS = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];

/** Whether systemd manages this host. */
export async function hasSystemd(host: HostProbe): Promise<boolean> {
  return (await host.kindOf('/run/systemd/system')) !== 'absent';
}

/** Looks at this host; changes nothing. */
export async function readSetupFacts(
  host: HostProbe,
  options: { readonly stateDir: string; readonly operators: readonly string[] },
): Promise<SetupFacts> {
  const succeeds = async (program: string, ...args: string[]): Promise<boolean> => {
    const answer = await host.run(program, args);
    return answer.kind === 'ran' && answer.exitCode === 0;
  };
  const installed = new Set((await Promise.all(UNIT_DIRS.map((dir) => host.list(dir)))).flat());
  const idleUnits: string[] = [];
  for (const unit of UNITS.filter((name) => installed.has(name))) {
    const isEnabled = await succeeds('systemctl', 'is-enabled', '--quiet', unit);
    const isActive = await succeeds('systemctl', 'is-active', '--quiet', unit);
    if (!isEnabled || !isActive) idleUnits.push(unit);
  }
  const newOperators: string[] = [];
  for (const user of options.operators) {
    const answer = await host.run('id', ['-nG', user]);
    const groups = answer.kind === 'ran' && answer.exitCode === 0 ? answer.output.split(/\s+/) : [];
    if (!groups.includes('mvm')) newOperators.push(user);
  }
  return {
    hasAccount: (await succeeds('getent', 'passwd', 'mvm')) && (await succeeds('getent', 'group', 'mvm')),
    hasRunDirectory: (await host.kindOf('/run/mvm')) !== 'absent',
    idleUnits,
    hasKernel: (await listKernels(kernelsDir(options.stateDir))).length > 0,
    newOperators,
  };
}
