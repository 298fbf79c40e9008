import type { NetworkCommand, NetworkPlan } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import type { CommandModule } from '../command.js';
import { stripControlCharacters } from '../format/control-characters.js';
import { printObject } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm net plan`. */
export const netPlan: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .argument('[tenant]', 'only what belongs to this tenant')
      .option('--from-scratch', 'what would run on a host without any of it');
    completeWith(command, 'tenant');
    addHelp(
      command,
      'Prints the exact text that hostd would give to ip and nft to repair the network, and nothing if there is nothing to\nrepair. Does not run it. The output is a shell script.',
      [
        ['mvm net plan acme', 'What would be repaired now'],
        ['mvm net plan acme --from-scratch', 'The whole network of a tenant'],
        ['mvm net plan acme --from-scratch -o json | jq -r ".commands[].script"', 'Only the scripts'],
      ],
    );
  },
  async run(context, invocation) {
    const operand = invocation.optionalOperand(0);
    const tenant = operand === undefined ? undefined : parseTenantId(operand);
    const agentd = await context.agentd();
    const plan = await agentd.planNetwork(
      { query: { tenant, from_scratch: invocation.flag('fromScratch') } },
      { signal: context.signal },
    );
    await printObject(context, invocation, {
      kind: 'NetworkPlan',
      value: plan,
      name: plan.tenant_id ?? 'host',
      text: () => renderScript(plan),
    });
    if (plan.steps === 0) context.say(`${plan.tenant_id ?? 'the host'} is as recorded: nothing would run`);
    if (plan.truncated) context.say('cut at 512 KiB; name a tenant to see its part whole');
  },
};

const CALLS: Readonly<Record<Exclude<NetworkCommand['program'], 'conntrack'>, string>> = {
  ip: 'ip -batch -',
  bridge: 'bridge -batch -',
  nft: 'nft -f -',
  sysctl: 'sysctl -q -p -',
};

/** The commands as a shell script with here-documents. */
function renderScript({ commands }: NetworkPlan): string {
  return commands
    .map(({ program, args, script }) =>
      program === 'conntrack'
        ? // Fails when there is nothing to end.
          `conntrack ${args.map(stripControlCharacters).join(' ')} || :\n`
        : `${CALLS[program]} <<'END'\n${stripControlCharacters(script)}END\n`,
    )
    .join('');
}
