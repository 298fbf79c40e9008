import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CodedError } from '@mvm/protocol';

/** An address for scrapes: of the loopback interface only. */
export const SCRAPE_ADDRESS = /^(127\.0\.0\.1|\[::1\]):(\d{1,5})$/;
const MAX_CONNECTIONS = 16;

export interface ScrapeServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `GET /metrics` over TCP for a Prometheus on this host, and nothing else. Anybody on the host can read it. Throws
 * `failed_precondition`, reason `metrics.listen_failed`.
 */
export async function serveScrapes(
  address: string,
  render: () => Promise<{ text: string; contentType: string }>,
): Promise<ScrapeServer> {
  const [, host = '', port = ''] = SCRAPE_ADDRESS.exec(address) ?? [];
  const server = createServer((request, response) => {
    const isScrape = request.method === 'GET' && request.url?.split('?', 1)[0] === '/metrics';
    if (!isScrape) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n');
      return;
    }
    render().then(
      ({ text, contentType }) => response.writeHead(200, { 'content-type': contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = 10_000;
  server.headersTimeout = 5000;
  try {
    server.listen({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) });
    await once(server, 'listening');
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'metrics.listen_failed',
      message: `cannot listen on ${address} for scrapes: ${errno}`,
      hint: 'Choose another port. Under systemd, the unit must allow it: docs/monitoring.md.',
      cause,
    });
  }
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
