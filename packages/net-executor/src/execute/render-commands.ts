import type { Program } from '../command/command-runner.js';
import { renderBridgeBatch } from '../render-bridge.js';
import { conntrackCalls } from '../render-conntrack.js';
import { renderIpBatch } from '../render-ip.js';
import { renderNftScript } from '../render-nft.js';
import type { NetStep } from '../types.js';
import { groupSteps, SCRIPT_ARGUMENTS } from './run-steps.js';

/** One call of a program and the text on its stdin; `sysctl`: `key=value` lines, which are written to /proc/sys. */
export interface NetworkCommand {
  readonly program: Program | 'sysctl';
  readonly args: readonly string[];
  readonly script: string;
}

function renderSysctls(steps: readonly NetStep[]): string {
  return steps.map((step) => (step.kind === 'sysctl.write' ? `${step.key}=${step.value}\n` : '')).join('');
}

const RENDER = { ip: renderIpBatch, bridge: renderBridgeBatch, nft: renderNftScript } as const;

/** What `runSteps` runs for these steps, call by call, in order. Throws `invalid_argument` as the renderers do. */
export function renderCommands(steps: readonly NetStep[]): NetworkCommand[] {
  return groupSteps(steps).flatMap(({ tool, steps: group }): NetworkCommand[] => {
    switch (tool) {
      case 'conntrack':
        return group.flatMap(conntrackCalls).map((args) => ({ program: tool, args, script: '' }));
      case 'sysctl':
        return [{ program: tool, args: [], script: renderSysctls(group) }];
      default:
        return [{ program: tool, args: SCRIPT_ARGUMENTS[tool], script: RENDER[tool](group) }];
    }
  });
}
