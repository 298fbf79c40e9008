/** What was found on this host. */
export interface SetupFacts {
  readonly hasAccount: boolean;
  readonly hasRunDirectory: boolean;
  /** Of mvm's units: those that are installed, and do not both start at boot and run now. */
  readonly idleUnits: readonly string[];
  readonly hasKernel: boolean;
  /** Users who were named as operators and are no members of the group yet. */
  readonly newOperators: readonly string[];
}

/** One change to this host. */
export type SetupStep =
  | { readonly name: string; readonly does: string; readonly command: readonly [string, ...string[]] }
  | { readonly name: string; readonly does: string; readonly command: 'add-kernel' };

/** What is missing, in the order in which it has to be done; empty when the host is set up. Pure. */
export function planSetup(facts: SetupFacts, options: { readonly kernel: boolean }): SetupStep[] {
  const steps: SetupStep[] = [];
  if (!facts.hasAccount) {
    steps.push({
      name: 'account',
      does: 'create the user and group mvm',
      command: ['systemd-sysusers', 'mvm.conf'],
    });
  }
  if (!facts.hasRunDirectory) {
    steps.push({
      name: 'directories',
      does: 'create /run/mvm',
      command: ['systemd-tmpfiles', '--create', 'mvm.conf'],
    });
  }
  if (facts.idleUnits.length > 0) {
    steps.push({
      name: 'units',
      does: `start ${facts.idleUnits.join(', ')}, now and at boot`,
      command: ['systemctl', 'enable', '--now', ...facts.idleUnits],
    });
  }
  for (const user of facts.newOperators) {
    steps.push({
      name: 'operator',
      does: `let ${user} use mvm without root; the group mvm may do anything with every tenant`,
      command: ['usermod', '--append', '--groups', 'mvm', user],
    });
  }
  if (options.kernel && !facts.hasKernel) {
    steps.push({
      name: 'kernel',
      does: "download the distribution's kernel for guests; nothing of it is installed on the host",
      command: 'add-kernel',
    });
  }
  return steps;
}
