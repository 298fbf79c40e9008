import { interfaceName, ipv4Text } from '../grammar.js';
import { asArray, asRecord, asText } from '../observe/json.js';
import type { ReadProgram } from './host-firewall/find-conflicts.js';
import type { Route } from './trace/path.js';

/** The route in what `ip -j route get` says; null when it says none. Source: ip-route(8). */
function parseRoute(stdout: string): Route | null {
  const route = asRecord(asArray(JSON.parse(stdout))[0]);
  if (route.type === 'local') return { kind: 'local' };
  const link = asText(route.dev);
  return link === '' || route.type !== undefined ? null : { kind: 'link', link };
}

/**
 * Why an answer to a guest does not find back to its bridge, in words; null: it does. By all routing tables and rules, as
 * for a packet that comes in by `link` and is for the guest already (marks of other software aside). Reads only, and needs
 * no root.
 */
export async function findWayBack(
  read: ReadProgram,
  {
    guest,
    from,
    link,
    bridge,
  }: { readonly guest: string; readonly from: string; readonly link: string; readonly bridge: string },
): Promise<string | null> {
  const args = ['-j', 'route', 'get', ipv4Text(guest), 'from', ipv4Text(from), 'iif', interfaceName(link)];
  const answer = await read('ip', args);
  if (answer === null) return null;
  const route = answer.exitCode === 0 ? parseRoute(answer.stdout) : null;
  if (route?.kind === 'link' && route.link === bridge) return null;
  const what = `an answer that comes in by ${link} for ${guest}`;
  if (route?.kind === 'link') return `${what} is routed to ${route.link}, not to ${bridge}`;
  if (route?.kind === 'local') return `${what} is taken for the host's own`;
  return `${what} is not routed (${answer.stderr.trim().split('\n')[0] || 'no route'})`;
}

/**
 * Where this host would send a guest's packet, by all of its routing tables and rules, other software's too; where it
 * would send its own when the guest's bridge does not route. Reads only, and needs no root.
 */
export async function findRoute(
  read: ReadProgram,
  { to, from, bridge }: { readonly to: string; readonly from: string; readonly bridge: string },
): Promise<Route> {
  const destination = ['-j', 'route', 'get', ipv4Text(to)];
  for (const args of [[...destination, 'from', ipv4Text(from), 'iif', bridge], destination]) {
    const answer = await read('ip', args);
    const route = answer?.exitCode === 0 ? parseRoute(answer.stdout) : null;
    if (route !== null) return route;
  }
  return { kind: 'none' };
}
