import type { Command } from 'commander';
import { lessonOf } from '../help.js';
import { EXIT_CODES, moduleOf, pathOf } from '../program.js';
import { commandsOf } from './render-reference.js';

/** One manual page: its file's name, e.g. `mvm-instance-list.1`, and its text in roff's man macros. */
export interface ManualPage {
  readonly file: string;
  readonly text: string;
}

/** Manual pages of all commands, and `mvm.1` with the list of them; `program` must be configured throughout. */
export function renderManual(program: Command, version: string): ManualPage[] {
  const commands = commandsOf(program);
  return [overview(program, commands, version), ...commands.map((command) => page(command, version))];
}

function overview(program: Command, commands: readonly Command[], version: string): ManualPage {
  const list = commands.map((command) => term(`${bold(titleOf(command))}(1)`, command.summary()));
  const options = program.options.map((option) => term(bold(option.flags), option.description));
  const text = [
    header('mvm', version),
    section('NAME', 'mvm \\- run and inspect microVMs of many tenants'),
    section('SYNOPSIS', `${bold('mvm')} ${roff('<command> [options]')}`),
    section('DESCRIPTION', paragraphs(program.description())),
    section('COMMANDS', list.join('\n')),
    section('OPTIONS OF EVERY COMMAND', options.join('\n')),
    section('EXIT STATUS', literal(EXIT_CODES)),
    section('SEE ALSO', `${bold('mvm-hostd')}(8), ${bold('mvm-agentd')}(8)`),
  ];
  return { file: 'mvm.1', text: text.join('') };
}

function page(command: Command, version: string): ManualPage {
  const title = titleOf(command);
  const lesson = lessonOf(command);
  const aliases = command.aliases();
  const operands = command.registeredArguments.map((argument) =>
    term(bold(argument.name()), argument.description),
  );
  const options = command.options.map((option) =>
    term(
      bold(option.flags),
      option.description + (option.argChoices === undefined ? '' : ` (${option.argChoices.join(', ')})`),
    ),
  );
  const formats = moduleOf(command)?.formats ?? [];
  const examples = (lesson?.examples ?? []).map(([line, does]) => `${paragraphs(does)}\n${literal(line)}`);
  const text = [
    header(title, version),
    section('NAME', `${roff(title)} \\- ${roff(command.summary())}`),
    section('SYNOPSIS', `${bold(pathOf(command))} ${roff(command.usage())}`),
    section('DESCRIPTION', lesson === undefined ? '' : paragraphs(lesson.text)),
    section('ALIASES', aliases.length === 0 ? '' : roff(aliases.join(', '))),
    section('ARGUMENTS', operands.join('\n')),
    section('OPTIONS', options.join('\n')),
    section('OUTPUT', formats.length === 0 ? '' : `${bold('-o')} ${roff(formats.join(', '))}`),
    section('EXAMPLES', examples.join('\n.PP\n')),
    section('SEE ALSO', `${bold('mvm')}(1)`),
  ];
  return { file: `${title}.1`, text: text.join('') };
}

function titleOf(command: Command): string {
  return pathOf(command).replaceAll(' ', '-');
}

/** Without a date: the page of a version is the same whenever it is made. */
function header(title: string, version: string): string {
  return `.TH ${quote(title.toUpperCase())} 1 "" ${quote(`mvm ${version}`)} "User Commands"\n`;
}

function section(title: string, body: string): string {
  return body === '' ? '' : `.SH ${title}\n${body}\n`;
}

function term(head: string, description: string): string {
  return `.TP\n${head}\n${roff(description)}`;
}

/** Paragraphs apart; those whose lines are indented stay as they are. */
function paragraphs(text: string): string {
  return text
    .split(/\n\n/)
    .filter((block) => block !== '')
    .map((block) => (/^ {2}/.test(block) ? literal(block) : roff(block)))
    .join('\n.PP\n');
}

function literal(text: string): string {
  return `.nf\n${roff(text)}\n.fi`;
}

function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

function quote(text: string): string {
  return `"${text.replaceAll('"', '\\(dq')}"`;
}

/** Text that roff prints as it is: no escapes, no requests at the start of a line. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replace(/^\./gm, '\\&.');
}
