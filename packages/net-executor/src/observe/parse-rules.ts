import { RULE_PREFERENCES, RULE_PROTOCOL } from '../render-ip.js';
import type { PolicyRule } from '../types.js';
import { asArray, asRecord, asText } from './json.js';

/**
 * Our policy-routing rules in what `ip -j rule show` says: those with our protocol number, at our preferences and of our
 * two forms. Source: ip-rule(8).
 */
export function parseRules(stdout: string): PolicyRule[] {
  return asArray(JSON.parse(stdout)).flatMap((value): PolicyRule[] => {
    const rule = asRecord(value);
    if (String(rule.protocol) !== String(RULE_PROTOCOL)) return [];
    const cidr = `${asText(rule.src)}/${String(rule.srclen ?? 32)}`;
    if (cidr !== `${asText(rule.dst)}/${String(rule.dstlen ?? 32)}`) return [];
    if (rule.priority === RULE_PREFERENCES.local && rule.iif === 'lo' && rule.table === 'main') {
      return [{ kind: 'local', cidr }];
    }
    const isolates = rule.priority === RULE_PREFERENCES.isolate && rule.action === 'blackhole';
    return isolates && rule.iif === undefined ? [{ kind: 'isolate', cidr }] : [];
  });
}
