import {
  addressAndPort,
  chainName,
  cidrText,
  interfaceName,
  ipv4Text,
  macText,
  portText,
  protocolText,
  uidRangeText,
} from '../grammar.js';
import { type FieldType, type NetElement, type SetName, setShape } from '../sets.js';
import { asArray, asRecord } from './json.js';

const CHECK: { readonly [T in FieldType]: (text: string) => string } = {
  ifname: interfaceName,
  ether_addr: macText,
  ipv4_addr: ipv4Text,
  ipv4_cidr: cidrText,
  inet_proto: protocolText,
  inet_service: portText,
  uid_range: uidRangeText,
};

function fieldText(type: FieldType, value: unknown): string {
  const prefix = asRecord(asRecord(value).prefix);
  if (type === 'ipv4_cidr')
    return typeof value === 'string' ? `${value}/32` : `${String(prefix.addr)}/${String(prefix.len)}`;
  if (type === 'uid_range') return asArray(asRecord(value).range).map(String).join('-');
  return String(value);
}

/** An element, stripped of what nft wraps around it (comment, timeout). */
function unwrap(value: unknown): unknown {
  const { elem } = asRecord(value);
  return elem === undefined ? value : asRecord(elem).val;
}

/**
 * One element of a set or map of ours from nft's JSON. Throws for what we would never have put there, e.g. a range or an
 * interface wildcard. Source: libnftables-json(5), "SET" and "EXPRESSIONS".
 */
export function parseElement(set: SetName, value: unknown): NetElement {
  const shape = setShape(set);
  const [keyValue, mapped] = shape.map === undefined ? [value] : asArray(value);
  const inner = unwrap(keyValue);
  const { concat } = asRecord(inner);
  const fields = concat === undefined ? [inner] : asArray(concat);
  if (fields.length !== shape.key.length) throw new Error(`an element of ${set} has ${fields.length} fields`);
  const key = shape.key.map((type, i) => CHECK[type](fieldText(type, fields[i])));
  if (shape.map === undefined) return { set, key };
  if (shape.map === 'address') {
    return { set, key, value: addressAndPort(asArray(asRecord(mapped).concat).map(String).join(' . ')) };
  }
  return { set, key, value: chainName(String(asRecord(asRecord(mapped)[shape.map]).target)) };
}
