#!/usr/bin/env bash
# iproute2 6.1 (Debian 12): ip -j prints text that is no JSON document: "[" alone, or one array per line of a batch.
#
# Needs: root (a network namespace of its own), iproute2 6.1.0, python3.
# Seen: "ip -j route show table 77", when no route was ever put into table 77, prints the single character "[" and exits
# with 2. For a table that had a route once, the same command prints "[ ]" and exits with 0. "ip -j link show NAME" of a
# missing link prints nothing. "ip -j -batch" prints one array for each line, so JSON.parse and json.loads fail on the whole.
# For mvm: the observer runs one command per question and reads stdout only when the exit code is 0.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
ip -V | grep -q 'iproute2-6.1.0' || { echo "another iproute2: $(ip -V)"; exit 1; }
cat >run.sh <<'RUN'
show() { code=0; out=$("$@" 2>/dev/null) || code=$?; printf '%s -> %s exit %s\n' "$*" "$(printf %s "$out" | tr -d ' \n')" "$code"; }
ip link set lo up
show ip -j route show table 77
ip route add unreachable 203.0.113.0/24 table 78; ip route del unreachable 203.0.113.0/24 table 78
show ip -j route show table 78
show ip -j link show missing
printf 'rule show\nrule show\n' >batch
ip -j -batch batch >both
python3 - <<'PY'
import json
text = open('both').read()
try: json.loads(text); print('batch: one document')
except ValueError as error: print('batch:', str(error).split(':')[0], '|', len([json.loads(line) for line in text.split('\n') if line.strip()]), 'lines that are')
PY
RUN
unshare -n bash run.sh >seen
cat seen
diff - seen <<'END'
ip -j route show table 77 -> [ exit 2
ip -j route show table 78 -> [] exit 0
ip -j link show missing ->  exit 1
batch: Extra data | 2 lines that are
END
echo 'as described: ip -j does not always print one JSON document'
