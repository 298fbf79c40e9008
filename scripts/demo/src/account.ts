import { existsSync } from 'node:fs';
import { execa } from 'execa';

/** The unprivileged user as which agentd runs. */
export const ACCOUNT_NAME = 'mvm';

export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** What this run created, and has to remove. */
  readonly createdUser: boolean;
  readonly createdGroup: boolean;
}

/**
 * The user and group `mvm`, created as a system account without home and login when the host has none.
 * PRIVILEGE: adds to /etc/passwd and /etc/group. SAFETY: fixed names; an existing account is used as it is.
 */
export async function ensureAccount(): Promise<Account> {
  const createdGroup = (await idOf('group')) === null;
  const createdUser = (await idOf('passwd')) === null;
  if (createdGroup) await execa('groupadd', ['--system', ACCOUNT_NAME]);
  if (createdUser) {
    const shell = existsSync('/usr/sbin/nologin') ? '/usr/sbin/nologin' : '/bin/false';
    const options = [
      '--system',
      '--gid',
      ACCOUNT_NAME,
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      shell,
    ];
    await execa('useradd', [...options, ACCOUNT_NAME]);
  }
  const [uid, gid] = [await idOf('passwd'), await idOf('group')];
  if (uid === null || gid === null) throw new Error(`the user ${ACCOUNT_NAME} could not be created`);
  return { uid, gid, createdUser, createdGroup };
}

/** Removes what `ensureAccount` created, and nothing else. Repeating it changes nothing. */
export async function removeAccount(account: Pick<Account, 'createdUser' | 'createdGroup'>): Promise<void> {
  if (account.createdUser && (await idOf('passwd')) !== null) await execa('userdel', [ACCOUNT_NAME]);
  // userdel takes the group of the same name along where the distribution is set up so.
  if (account.createdGroup && (await idOf('group')) !== null) await execa('groupdel', [ACCOUNT_NAME]);
}

/** The numeric id in the user or group database; null when there is no such entry. */
async function idOf(database: 'passwd' | 'group'): Promise<number | null> {
  const { stdout, exitCode } = await execa('getent', [database, ACCOUNT_NAME], { reject: false });
  if (exitCode !== 0) return null;
  const id = Number(stdout.split(':')[2]);
  return Number.isInteger(id) ? id : null;
}
