#!/usr/bin/env bash
# Node 20 and conntrack 1.4.7: "conntrack -R -" fails under Node, because a child's stdin "pipe" is a Unix socket.
#
# Needs: root (a network namespace of its own), node, conntrack 1.4.7, nft, iproute2, python3.
# Expected by most: stdio: 'pipe' makes a pipe, and "-" or /dev/stdin reads it.
# Seen: Node makes a pair of Unix sockets. Linux cannot open a socket by /dev/stdin (ENXIO), so every program that opens
# /dev/stdin by name fails: cat, tar, bash with that argument, and "conntrack -R -", which replaces "-" by that name.
# "nft -f /dev/stdin" works, as nft treats that name like "-". From a shell's or Python's pipe all of them work.
# For mvm: programs get their input by "-" only where they read descriptor 0, else by a file.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
conntrack --version | grep -q 'v1\.4\.7' || { echo 'another conntrack'; exit 1; }
entry='-I -s 10.0.0.1 -d 10.0.0.2 -p tcp --sport 1 --dport 2 --state ESTABLISHED -u ASSURED -t 100'
cat >run.mjs <<'JS'
import { spawn } from 'node:child_process';
const entry = process.argv[2];
for (const [input, ...command] of [
  ['hi\n', 'cat', '-'], ['hi\n', 'cat', '/dev/stdin'], ['', 'tar', '-tf', '/dev/stdin'],
  ['add table inet x\n', 'nft', '-f', '-'], ['add table inet x\n', 'nft', '-f', '/dev/stdin'],
  ['link show lo\n', 'ip', '-batch', '-'], [`${entry}\n`, 'conntrack', '-R', '-'],
]) {
  const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'ignore', 'ignore'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise((done) => child.on('close', done));
  console.log(`node: ${command.join(' ')}: ${code === 0 ? 'works' : 'fails'}`);
}
JS
cat >run.py <<'PY'
import subprocess, sys
for command, text in ((['cat', '/dev/stdin'], 'hi\n'), (['conntrack', '-R', '-'], sys.argv[1] + '\n')):
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    print('python:', ' '.join(command) + ':', 'works' if done.returncode == 0 else 'fails')
PY
unshare -n bash -c 'node run.mjs "$1"; python3 run.py "$1"' - "$entry" >seen
cat seen
diff - seen <<'END'
node: cat -: works
node: cat /dev/stdin: fails
node: tar -tf /dev/stdin: fails
node: nft -f -: works
node: nft -f /dev/stdin: works
node: ip -batch -: works
node: conntrack -R -: fails
python: cat /dev/stdin: works
python: conntrack -R -: works
END
echo 'as described: what Node calls a pipe cannot be opened as /dev/stdin'
