import { badConfig } from './errors.js';

/** Who an image's command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

/** Content of the image's account files; null when it has none. */
export interface AccountFiles {
  readonly passwd: string | null;
  readonly group: string | null;
}

const MAX_ID = 0xfffffffe;

/**
 * The account that `User` of an image means: a name or number, optionally with `:` and a group's name or number. Groups
 * that /etc/group gives a user are added unless the image names a group. Throws `image.bad_config` for names that the
 * image's own files do not know. Source: OCI image specification, config.md, `User`.
 */
export function resolveUser(user: string, files: AccountFiles): Account {
  const [who = '', group] = user.split(':');
  const rows = lines(files.passwd, 7);
  const wanted = who === '' ? '0' : who;
  // A name of digits only is a number, unless an account has that name.
  const row = rows.find(([name]) => name === wanted) ?? rows.find(([, , uid]) => uid === wanted);
  const number = toId(wanted);
  if (row === undefined && number === undefined) {
    throw badConfig(
      `it runs as user ${JSON.stringify(wanted)}, whom its /etc/passwd does not know`,
      'add the user when you build the image, or name it by number, e.g. USER 1000',
    );
  }
  const uid = toId(row?.[2] ?? '') ?? number ?? 0;
  const home = row?.[5] || '/';
  const groupRows = lines(files.group, 4);
  if (group !== undefined && group !== '') {
    return { uid, gid: resolveGroup(group, groupRows), groups: [], home };
  }
  const gid = toId(row?.[3] ?? '') ?? 0;
  const name = row?.[0];
  const groups = groupRows
    .filter(([, , , members]) => name !== undefined && (members ?? '').split(',').includes(name))
    .map(([, , id]) => toId(id ?? ''))
    .filter((id): id is number => id !== undefined && id !== gid);
  return { uid, gid, groups: [...new Set(groups)].sort((a, b) => a - b).slice(0, 512), home };
}

function resolveGroup(group: string, rows: readonly string[][]): number {
  const id = toId(rows.find(([name]) => name === group)?.[2] ?? '') ?? toId(group);
  if (id !== undefined) return id;
  throw badConfig(
    `it runs as group ${JSON.stringify(group)}, which its /etc/group does not know`,
    'add the group when you build the image, or name it by number, e.g. USER 1000:1000',
  );
}

function lines(text: string | null, fields: number): string[][] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
    .filter((row) => row.length >= fields);
}

function toId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}
