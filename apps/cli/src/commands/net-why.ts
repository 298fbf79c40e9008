import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { createHostProbe } from '../doctor/host-probe.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { printObject } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';
import { answerWhy } from '../net/answer.js';
import { parseDestination, parseGuestPort } from '../net/destination.js';
import { renderAnswer } from '../net/render-answer.js';
import { gatherFacts } from '../net/why-facts.js';

/** As `failed_precondition`: as things stand it is not reached. */
const NOT_REACHABLE_EXIT_CODE = 4;

/** `mvm net why`. */
export const netWhy: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml'],
  configure(command) {
    command
      .argument('<instance>', 'address, <tenant>/<pool>/<instance>')
      .argument(
        '<destination>',
        '<address>[:<port>[/tcp|/udp]], "host", or another instance; with --inbound a port in the guest',
      )
      .option('--inbound', 'whether the outside reaches this port of the guest');
    completeWith(command, 'instance', 'instance');
    addHelp(
      command,
      'Says whether a guest reaches a destination, and why. Lists the rules in the order in which the packet meets them, the\nrule that decides, the policy field behind it, other obstacles on this host (the instance does not run, the kernel\ndiffers from the records, forwarding is off, another firewall), and what to do. Sends and changes nothing.\n\nA port without a protocol means TCP. No port means a ping. It cannot know whether a program listens at the\ndestination, and what happens beyond the uplink. Only root may read other software’s rules.\n\nExit code 0 means reachable, 4 means not reachable.',
      [
        ['mvm net why acme/workers/i-0a1b2c3d 1.1.1.1:443', 'TCP to a port'],
        ['mvm net why acme/workers/i-0a1b2c3d 1.1.1.1:53/udp', 'UDP'],
        ['mvm net why acme/workers/i-0a1b2c3d host', 'A ping to the host'],
        ['mvm net why acme/workers/i-0a1b2c3d acme/web/i-4e5f6a7b:80', 'Another instance'],
        ['mvm net why acme/web/i-4e5f6a7b 443/tcp --inbound', 'From outside, by a published port'],
        ['mvm net why acme/web/i-4e5f6a7b 10.1.2.3:5432 -o json | jq -r ".next_steps[]"', 'For scripts'],
      ],
    );
  },
  async run(context, invocation) {
    const instance = parseInstanceAddress(invocation.operand(0));
    const asked = invocation.operand(1);
    const inbound = invocation.flag('inbound') ? parseGuestPort(asked) : null;
    const destination = inbound === null ? parseDestination(asked) : null;
    const agentd = await context.agentd();
    const host = createHostProbe(context.env);
    const facts = await gatherFacts(agentd, host, instance, destination, context.signal);
    const answer = answerWhy(facts, inbound);
    await printObject(context, invocation, {
      kind: 'NetworkAnswer',
      value: answer,
      name: answer.instance,
      text: () => renderAnswer(context, answer, invocation.format === 'wide'),
    });
    if (!answer.reachable) throw new ReportedFailure(NOT_REACHABLE_EXIT_CODE);
  },
};
