import type { Why } from '@mvm/agentd-api';
import { formatAddress } from '../address/address.js';
import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { formatAgeOf } from '../format/age.js';
import { onOneLine } from '../format/control-characters.js';
import { formatDuration } from '../format/duration.js';
import { printObject } from '../format/print.js';
import { renderFields } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm why`. */
export const why: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command.argument('<instance>', 'address, <tenant>/<pool>/<instance>');
    completeWith(command, 'instance');
    addHelp(
      command,
      'Shows the last actions on an instance, by agentd, by a connection or by an operator: the rule, the values that were\nseen and the thresholds, the request to hostd, and how it ended. Then what would have to change for agentd to act.',
      [
        ['mvm why acme/web/i-0a1b2c3d', 'Why it fell asleep, and what would wake it'],
        [
          "mvm why acme/web/i-0a1b2c3d -o json | jq '.decisions[0].rule'",
          'What the last decision was made of',
        ],
      ],
    );
  },
  async run(context, invocation) {
    const { tenantId, poolId, instanceId } = await resolveInstance(context, invocation.operand(0));
    const agentd = await context.agentd();
    const params = { tenant: tenantId, pool: poolId, instance: instanceId };
    const answer = await agentd.whyInstance({ params }, { signal: context.signal });
    await printObject(context, invocation, {
      kind: 'Why',
      value: answer,
      name: formatAddress(answer),
      text: () => describe(context, answer),
    });
  },
};

function describe(context: CliContext, answer: Why): string {
  const now = context.nowMs();
  const { colours } = context;
  const since = answer.status_since === null ? '' : ` for ${formatAgeOf(answer.status_since, now)}`;
  const sections = [
    renderFields([
      ['Instance', formatAddress(answer)],
      ['Status', `${answer.status}${since}${answer.operation === null ? '' : ` (${answer.operation})`}`],
      [
        'Held',
        answer.hold === null
          ? undefined
          : `${answer.hold.kind.replace('_', ' ')}, until ${answer.hold.until}`,
      ],
      [
        'Sleep policy',
        answer.sleep_policy === null
          ? 'none: agentd puts nothing of this pool to sleep by itself'
          : describePolicy(answer.sleep_policy),
      ],
    ]),
  ];
  const actions = answer.decisions.map((decision) => describeDecision(context, decision, now));
  const none = '  none is recorded\n';
  sections.push(`${colours.bold('Last actions')}\n${actions.length === 0 ? none : actions.join('')}`);
  for (const { action, conditions } of answer.next) {
    const lines = conditions.map(
      ({ must, now: is, met }) =>
        `  ${met ? colours.green('✓') : colours.red('✗')} ${onOneLine(must)} ${colours.dim(`(${onOneLine(is)})`)}\n`,
    );
    sections.push(
      `${colours.bold(`To ${action === 'warm' ? 'pause' : action} by itself`)}\n${lines.join('')}`,
    );
  }
  if (answer.problems.length > 0) {
    const lines = answer.problems.map(
      ({ kind, reason, message }) => `  ${kind} ${reason}: ${onOneLine(message)}\n`,
    );
    sections.push(`${colours.bold('In the way')}\n${lines.join('')}`);
  }
  return sections.join('\n');
}

function describePolicy(policy: NonNullable<Why['sleep_policy']>): string {
  const after = (seconds: number | null): string =>
    seconds === null ? 'never' : `after ${formatDuration(seconds * 1000)}`;
  return `pause ${after(policy.warm_threshold_secs)}, sleep ${after(policy.sleep_threshold_secs)}, ${policy.min_running} always run`;
}

function describeDecision(context: CliContext, decision: Why['decisions'][number], now: number): string {
  const { colours } = context;
  const { rule, audit, error } = decision;
  const outcome =
    error === null ? colours.green('ok') : colours.red(onOneLine(`${error.reason}: ${error.message}`));
  const facts = (values: Readonly<Record<string, number | string | null>>): string =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value ?? 'none'}`)
      .join(', ');
  const details = Object.entries(audit?.details ?? {}).map(([name, value]) => `, ${name} ${value}`);
  const entry =
    audit === null ? '' : ` (operation ${audit.op_id}, audit entry ${audit.seq ?? '-'}${details.join('')})`;
  const fields = renderFields(
    [
      ['why', onOneLine(decision.reason)],
      ['rule', rule?.name],
      ['seen', rule === null ? undefined : facts(rule.values)],
      ['thresholds', rule === null ? undefined : facts(rule.thresholds)],
      ['request', decision.request === null ? undefined : onOneLine(`${decision.request}${entry}`)],
      ['steps', decision.steps.length === 0 ? undefined : onOneLine(decision.steps.join('; '))],
      ['next', error?.hint == null ? undefined : onOneLine(error.hint)],
    ],
    '    ',
  );
  const by = decision.source === 'planner' ? 'agentd' : decision.source;
  return `  ${decision.at} (${formatAgeOf(decision.at, now)} ago) ${colours.bold(decision.action)} by ${by}, ${formatDuration(decision.duration_ms)}: ${outcome}\n${fields}`;
}
