import { readFileSync } from 'node:fs';
import { parseBridgeName, parseTapName } from '@mvm/protocol/names';
import { isInterfaceName } from '../grammar.js';

/**
 * The interfaces of the IPv4 default routes in the text of /proc/net/route, each once; empty when there is none. Names
 * that are not safe to use are left out, and so are ours. Source: proc(5).
 */
export function parseDefaultRouteLinks(text: string): string[] {
  const links = text
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter((fields) => fields[1] === '00000000' && fields[7] === '00000000')
    .map((fields) => fields[0] ?? '')
    .filter((name) => isInterfaceName(name) && parseBridgeName(name) === null && parseTapName(name) === null);
  return [...new Set(links)];
}

/** The interfaces through which this host reaches everything else, as of now. */
export function readDefaultRouteLinks(): string[] {
  return parseDefaultRouteLinks(readFileSync('/proc/thread-self/net/route', 'utf8'));
}
