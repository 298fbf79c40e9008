import type { Argument, Command, Option } from 'commander';
import { lessonOf } from '../help.js';
import { moduleOf, pathOf } from '../program.js';
import { COMMANDS } from '../registry.js';

const PREFACE = `# mvm: command reference

Generated from the tool's own definitions by \`pnpm --filter @mvm/cli docs\`; do not edit.

Data goes to stdout, messages and progress to stderr. Instances are addressed as \`<tenant>/<pool>/<instance>\`.
\`-o json\` and \`-o yaml\` print one document with \`apiVersion\` and \`kind\`; a listing has its objects in \`items\`.
Fields are added to these documents, never renamed or removed.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | internal error; the states differ (\`diff\`); something is wrong (\`selftest\`) |
| 2 | usage, or an invalid argument or file |
| 3 | not found |
| 4 | conflicts with the present state |
| 5 | permission denied |
| 6 | a daemon cannot be reached |
| 7 | out of some resource: disk space, quota, a limit |
| 8 | versions do not match, or not implemented |
| 9 | the host is as desired, except for instances that are held by an operator (\`apply --wait\`, \`status\`) |
| 10 | the host is on its way to the desired state (\`status\`) |
| 124 | timed out |
| 130 | interrupted, or declined |

## Environment

| variable | meaning |
|---|---|
| \`MVM_SOCKET\` | socket of agentd's API, as \`--socket\` |
| \`MVM_STATE_DIR\` | state directory of hostd, as \`--state-dir\` of the commands that have it |
| \`NO_COLOR\`, \`FORCE_COLOR\` | colours off or on, whatever the terminal |
`;

/** The reference of all commands as Markdown; `program` must be configured throughout. */
export function renderReference(program: Command): string {
  const global = `## Options of every command\n\n${optionTable(program.options.filter(({ long }) => long !== '--version'))}`;
  const sections = commandsOf(program).map(renderCommand);
  return `${[PREFACE, global, ...sections].join('\n')}`;
}

/** Every command that help shows, without the groups. */
export function commandsOf(command: Command): Command[] {
  if (command.commands.length > 0) return command.commands.flatMap(commandsOf);
  const entry = COMMANDS.find(({ path }) => path.join(' ') === pathOf(command).replace(/^mvm /, ''));
  return entry?.hidden === true ? [] : [command];
}

function renderCommand(command: Command): string {
  const parts = [`## ${pathOf(command)}`, command.description()];
  const aliases = command.aliases();
  if (aliases.length > 0) parts.push(`Also: ${aliases.map((alias) => `\`${alias}\``).join(', ')}.`);
  parts.push(`\`\`\`\n${pathOf(command)} ${command.usage()}\n\`\`\``);
  const lesson = lessonOf(command);
  if (lesson !== undefined && lesson.text !== '') parts.push(renderText(lesson.text));
  if (command.registeredArguments.length > 0)
    parts.push(argumentTable(command.registeredArguments).trimEnd());
  if (command.options.length > 0) parts.push(optionTable(command.options).trimEnd());
  const formats = moduleOf(command)?.formats ?? [];
  if (formats.length > 0) parts.push(`Output: ${formats.map((format) => `\`${format}\``).join(', ')}.`);
  if (lesson !== undefined && lesson.examples.length > 0) {
    const lines = lesson.examples.flatMap(([line, does]) => [`# ${does}`, line]);
    parts.push(`\`\`\`sh\n${lines.join('\n')}\n\`\`\``);
  }
  return `${parts.join('\n\n')}\n`;
}

/** Paragraphs whose lines are indented become code blocks. */
function renderText(text: string): string {
  return text
    .split(/\n\n/)
    .map((block) => (/^ {2}/.test(block) ? `\`\`\`yaml\n${block.replace(/^ {2}/gm, '')}\n\`\`\`` : block))
    .join('\n\n');
}

function argumentTable(list: readonly Argument[]): string {
  const rows = list.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return `| \`${argument.required ? `<${name}>` : `[${name}]`}\` | ${cell(argument.description)} |`;
  });
  return `| argument | |\n|---|---|\n${rows.join('\n')}\n`;
}

function optionTable(list: readonly Option[]): string {
  const rows = list.map((option) => {
    const notes = [
      option.argChoices === undefined ? '' : option.argChoices.join(', '),
      option.mandatory ? 'mandatory' : '',
      option.defaultValue === undefined || option.defaultValue === ''
        ? ''
        : `default ${option.defaultValueDescription ?? String(option.defaultValue)}`,
    ].filter((note) => note !== '');
    return `| \`${option.flags}\` | ${cell(option.description)}${notes.length > 0 ? ` (${notes.join('; ')})` : ''} |`;
  });
  return `| option | |\n|---|---|\n${rows.join('\n')}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
