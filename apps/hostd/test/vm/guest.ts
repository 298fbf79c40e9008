import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { encodeFrame, readFrame } from '@mvm/framing';
import { patiently } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';

/** What a script in a guest came to; status 137 when it took too long. */
export interface GuestResult {
  readonly status: number;
  /** stdout and stderr, the first 30 000 bytes. */
  readonly output: string;
}

/** Programs inside one guest that runs the test image, over its agent's channel: no network is needed for them. */
export interface Guest {
  /** The VM's name, which is its TAP's. */
  readonly vmId: string;
  /** Runs a shell script as root. What it leaves in the background goes on, and must let go of stdin and stdout. */
  run(script: string, timeoutSecs?: number): Promise<GuestResult>;
  /** The same, and returns the output without the white space around it; throws when the status is not 0. */
  output(script: string, timeoutSecs?: number): Promise<string>;
}

/** How long the guest may take beyond the script's own time, on a busy machine. */
const PATIENCE_MS = 60_000;

/** The guest of a test host's VM. */
export function guestOf(host: Pick<Host, 'runDir'>, vmId: string): Guest {
  return guestBehind(join(host.runDir, 'vm', vmId, 'agent.sock'), vmId);
}

/** The guest behind its agent's socket. */
export function guestBehind(socketPath: string, vmId: string): Guest {
  return guestOver(async () => connect(socketPath), vmId);
}

/** The guest behind its agent's channel, which is free for hostd between two calls, and only then. */
export function guestOver(open: () => Promise<Duplex>, vmId: string): Guest {
  const run: Guest['run'] = async (script, timeoutSecs = 20) => {
    const socket = await open();
    const signal = AbortSignal.timeout(timeoutSecs * 1000 + patiently(PATIENCE_MS));
    try {
      const token = randomBytes(8).toString('hex');
      const script_base64 = Buffer.from(script).toString('base64');
      const exec = { Exec: { script_base64, timeout_secs: timeoutSecs } };
      for (const request of [{ Sync: { token } }, exec]) {
        socket.write(encodeFrame(Buffer.from(JSON.stringify(request))));
      }
      for (let synced = false; ; ) {
        const frame = await readFrame(socket, { signal });
        if (frame === null) throw new Error(`the channel to ${vmId} was closed`);
        const answer = JSON.parse(Buffer.from(frame).toString());
        if (!synced) {
          synced = answer.SyncAck?.token === token;
          continue;
        }
        const { status, output_base64 } = answer.ExecResult;
        return { status, output: Buffer.from(output_base64, 'base64').toString() };
      }
    } finally {
      socket.destroy();
    }
  };
  return {
    vmId,
    run,
    output: async (script, timeoutSecs) => {
      const { status, output } = await run(script, timeoutSecs);
      if (status !== 0) throw new Error(`in ${vmId}: status ${status} of\n${script}\n${output}`);
      return output.trim();
    },
  };
}
