import { type Check, type Finding, fail, ok, skip, warn } from './check.js';
import type { HostProbe } from './host-probe.js';

const NAME = 'mvm';

/** The user that agentd runs as, and the group that may talk to the daemons. */
export const accountChecks: readonly Check<HostProbe>[] = [
  { name: 'group', area: 'accounts', run: checkGroup },
  { name: 'user', area: 'accounts', run: checkUser },
  { name: 'membership', area: 'accounts', run: checkMembership },
];

async function checkGroup(host: HostProbe): Promise<Finding> {
  const id = await groupId(host);
  return id === undefined
    ? fail(`there is no group ${NAME}, who may talk to hostd`, `groupadd --system ${NAME}`)
    : ok(`${NAME} (gid ${id})`);
}

async function checkUser(host: HostProbe): Promise<Finding> {
  const answer = await host.run('getent', ['passwd', NAME]);
  const [name, , uid] = answer.kind === 'ran' && answer.exitCode === 0 ? answer.output.split(':') : [];
  if (name !== NAME) {
    return fail(
      `there is no user ${NAME}, as whom agentd runs`,
      `useradd --system --gid ${NAME} --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin ${NAME}`,
    );
  }
  return uid === '0'
    ? fail(`${NAME} is root`, 'give it a uid of its own: agentd must not be root')
    : ok(`${NAME} (uid ${uid})`);
}

async function checkMembership(host: HostProbe): Promise<Finding> {
  if (host.uid === 0) return ok('root may talk to the daemons');
  const id = await groupId(host);
  if (id === undefined) return skip('there is no group to be a member of');
  return host.groups.includes(id)
    ? ok(`this user is in the group ${NAME}`)
    : warn(
        `this user is not in the group ${NAME}`,
        `sudo usermod --append --groups ${NAME} "$USER", then log in again`,
      );
}

async function groupId(host: HostProbe): Promise<number | undefined> {
  const answer = await host.run('getent', ['group', NAME]);
  const [name, , gid] = answer.kind === 'ran' && answer.exitCode === 0 ? answer.output.split(':') : [];
  return name === NAME ? Number(gid) : undefined;
}
