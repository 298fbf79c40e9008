import type { Program } from '../command/command-runner.js';
import { renderBridgeBatch } from '../render-bridge.js';
import { renderConntrackScript } from '../render-conntrack.js';
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

const RENDER: {
  readonly [P in NetworkCommand['program']]: {
    readonly args: readonly string[];
    readonly script: (steps: readonly NetStep[]) => string;
  };
} = {
  ip: { args: SCRIPT_ARGUMENTS.ip, script: renderIpBatch },
  bridge: { args: SCRIPT_ARGUMENTS.bridge, script: renderBridgeBatch },
  conntrack: { args: SCRIPT_ARGUMENTS.conntrack, script: renderConntrackScript },
  nft: { args: SCRIPT_ARGUMENTS.nft, script: renderNftScript },
  sysctl: { args: [], script: renderSysctls },
};

/** What `runSteps` runs for these steps, call by call, in order. Throws `invalid_argument` as the renderers do. */
export function renderCommands(steps: readonly NetStep[]): NetworkCommand[] {
  return groupSteps(steps).map(({ tool, steps: group }) => ({
    program: tool,
    args: RENDER[tool].args,
    script: RENDER[tool].script(group),
  }));
}
