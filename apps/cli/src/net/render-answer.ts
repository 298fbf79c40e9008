import type { CliContext } from '../context.js';
import { onOneLine } from '../format/control-characters.js';
import type { AnswerField, AnswerStep, NetworkAnswer } from './answer.js';

function originText(field: AnswerField): string {
  return field.source === 'default'
    ? `${field.field}: default`
    : `${field.field} of ${field.source} ${field.of ?? ''}`;
}

function stepText({ at, chain, rule, why, follows_from: field }: AnswerStep): string {
  const place = chain === null ? at : `${at.split(' ')[0] ?? at} ${chain}`;
  const origin = field === null ? '' : ` [${originText(field)}]`;
  return onOneLine(`${place}: ${why}${origin}${rule === null ? '' : `: ${rule}`}`);
}

function destinationText({ destination, destination_instance: instance, direction }: NetworkAnswer): string {
  const { address, protocol, port } = destination;
  if (direction === 'inbound') return `its port ${port}/${protocol}, from outside`;
  const text = port === null ? `${address} (${protocol})` : `${address} port ${port}/${protocol}`;
  return instance === null ? text : `${text}, ${instance}`;
}

/** The answer for people: the verdict and its reason first, then the way, then what to do. */
export function renderAnswer(
  { colours }: Pick<CliContext, 'colours'>,
  answer: NetworkAnswer,
  wide: boolean,
): string {
  const { reachable, steps, limits, counter, obstacles, host_ports: hostPorts } = answer;
  const verdict = reachable ? colours.green('reachable') : colours.red('not reachable');
  const origin = answer.follows_from === null ? '' : ` (${originText(answer.follows_from)})`;
  const lines = [
    `${answer.instance} → ${destinationText(answer)}: ${verdict}`,
    `  because ${onOneLine(answer.reason)}${origin}`,
  ];
  if (hostPorts.length > 0)
    lines.push(`  by port ${hostPorts.join(', ')} of the host's addresses on its uplinks`);
  if (counter !== null) {
    const stands = counter.packets === null ? '' : `, at ${counter.packets} packets of all tenants`;
    lines.push(`  counted by ${counter.name}${stands} (mvm net drops --watch)`);
  }
  lines.push('', colours.bold('Way of the packet'));
  lines.push(...(wide ? steps : shortened(steps)).map((step, i) => `  ${i + 1}. ${stepText(step)}`));
  if (limits.length > 0 && answer.permitted) {
    lines.push('', colours.bold('Within limits'));
    lines.push(...limits.map((limit) => `  ${stepText({ ...limit, rule: wide ? limit.rule : null })}`));
  }
  if (obstacles.length > 0) {
    lines.push(
      '',
      colours.bold('In the way'),
      ...obstacles.map(({ detail }) => `  ${colours.yellow(onOneLine(detail))}`),
    );
  }
  for (const unseen of answer.not_seen)
    lines.push('', `${colours.dim('not looked at:')} ${onOneLine(unseen)}`);
  if (answer.next_steps.length > 0) {
    lines.push('', colours.bold('What to do'), ...answer.next_steps.map((next) => `  ${onOneLine(next)}`));
  }
  return `${lines.join('\n')}\n`;
}

/** Without the texts of rules that only lead on; the one that decides keeps its own. */
function shortened(steps: readonly AnswerStep[]): AnswerStep[] {
  return steps.map((step, i) => (i === steps.length - 1 ? step : { ...step, rule: null }));
}
