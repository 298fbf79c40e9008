import { MAX_TENANT_NET_ID } from './constants.js';

const MAX_IP_OFFSET = 254;

function assertNetId(netId: number): void {
  if (!Number.isInteger(netId) || netId < 0 || netId > MAX_TENANT_NET_ID) {
    throw new RangeError(`tenant net id ${netId} is not in 0…${MAX_TENANT_NET_ID}`);
  }
}

function assertOffset(ipOffset: number): void {
  if (!Number.isInteger(ipOffset) || ipOffset < 1 || ipOffset > MAX_IP_OFFSET) {
    throw new RangeError(`IP offset ${ipOffset} is not in 1…${MAX_IP_OFFSET}`);
  }
}

/** Name of an instance's TAP: `tn<net id>i<offset>`, at most 10 bytes. Net id 0…4095, offset 1…254, else RangeError. */
export function tapName(netId: number, ipOffset: number): string {
  assertNetId(netId);
  assertOffset(ipOffset);
  return `tn${netId}i${ipOffset}`;
}

/** An instance's MAC: `02:fc:<net id, two bytes>:00:<offset>`, lower-case hex; locally administered, unicast. */
export function macAddress(netId: number, ipOffset: number): string {
  assertNetId(netId);
  assertOffset(ipOffset);
  const bytes = [0x02, 0xfc, netId >> 8, netId & 0xff, 0, ipOffset];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Name of a tenant's bridge: `br-tenant-<net id>`, at most 14 bytes. */
export function bridgeName(netId: number): string {
  assertNetId(netId);
  return `br-tenant-${netId}`;
}

/** The parts of a name that `tapName` makes; null for any other text (also for leading zeros). */
export function parseTapName(name: string): { netId: number; ipOffset: number } | null {
  const match = /^tn(0|[1-9][0-9]{0,3})i([1-9][0-9]{0,2})$/.exec(name);
  if (match === null) return null;
  const netId = Number(match[1]);
  const ipOffset = Number(match[2]);
  return netId <= MAX_TENANT_NET_ID && ipOffset <= MAX_IP_OFFSET ? { netId, ipOffset } : null;
}

/** The net id in a name that `bridgeName` makes; null for any other text (also for leading zeros). */
export function parseBridgeName(name: string): number | null {
  const match = /^br-tenant-(0|[1-9][0-9]{0,3})$/.exec(name);
  if (match === null) return null;
  const netId = Number(match[1]);
  return netId <= MAX_TENANT_NET_ID ? netId : null;
}
