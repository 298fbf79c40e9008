import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection on which every byte is the test's own: it shares no code with the framing and the codecs of hostd. */
export interface RawClient {
  /** Answers so far, in the order in which they came. */
  readonly answers: readonly unknown[];
  /** Resolves when so many answers have come; rejects when the connection ends before. */
  heard(count: number): Promise<void>;
  send(...bodies: unknown[]): void;
  /** The beginning of a frame, and no end. */
  sendTorn(body: unknown): void;
  /** Shut down our half; answers still come. */
  halfClose(): void;
  /** Gone, without a word. */
  vanish(): void;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
}

function frame(body: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(body));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
}

export async function connectRaw(path: string): Promise<RawClient> {
  const socket: Socket = connect({ path, allowHalfOpen: true });
  await once(socket, 'connect');
  const answers: unknown[] = [];
  let waiting: { count: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  let buffer = Buffer.alloc(0);
  let ended = false;
  const look = (): void => {
    for (const wait of waiting) {
      if (answers.length >= wait.count) wait.resolve();
      else if (ended)
        wait.reject(new Error(`the connection ended after ${answers.length} of ${wait.count} answers`));
    }
    waiting = waiting.filter(({ count }) => answers.length < count && !ended);
  };
  socket.on('error', () => {});
  socket.on('data', (piece) => {
    buffer = Buffer.concat([buffer, piece]);
    while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
      const end = 4 + buffer.readUInt32BE(0);
      answers.push(JSON.parse(buffer.toString('utf8', 4, end)));
      buffer = buffer.subarray(end);
    }
    look();
  });
  const finish = (): void => {
    ended = true;
    look();
  };
  socket.on('end', () => {
    finish();
    socket.end();
  });
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      finish();
      resolve();
    });
  });
  return {
    answers,
    heard: (count) =>
      new Promise((resolve, reject) => {
        waiting.push({ count, resolve, reject });
        look();
      }),
    send: (...bodies) => {
      socket.write(Buffer.concat(bodies.map(frame)));
    },
    sendTorn: (body) => {
      const whole = frame(body);
      socket.write(whole.subarray(0, whole.length >> 1));
    },
    halfClose: () => {
      socket.end();
    },
    vanish: () => {
      socket.destroy();
    },
    closed,
  };
}
