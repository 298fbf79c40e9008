import { join } from 'node:path';

/** Every path that the demo's daemons use: all below its own temporary directory. */
export interface DemoPaths {
  readonly hostdSocket: string;
  readonly hostdState: string;
  readonly hostdRun: string;
  readonly hostdLog: string;
  readonly agentdSocket: string;
  readonly agentdRun: string;
  readonly agentdState: string;
  readonly agentdLog: string;
}

export function demoPaths(dir: string): DemoPaths {
  return {
    hostdSocket: join(dir, 'run/hostd.sock'),
    hostdState: join(dir, 'state'),
    hostdRun: join(dir, 'run'),
    hostdLog: join(dir, 'hostd.log'),
    agentdSocket: join(dir, 'agentd/agentd.sock'),
    agentdRun: join(dir, 'agentd'),
    agentdState: join(dir, 'agentd/state'),
    agentdLog: join(dir, 'agentd.log'),
  };
}
