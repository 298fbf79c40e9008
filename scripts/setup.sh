#!/usr/bin/env bash
# Makes this machine ready to build, test and demonstrate mvm: Node's version, the host's tools
# (Debian packages, only those that are missing; never a kernel), the JavaScript dependencies.
# Quiet and quick when nothing is to do. `--quiet` also hides the closing line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quiet=0
[ "${1:-}" = --quiet ] && quiet=1
say() { printf '\033[2m[setup]\033[0m %s\n' "$*"; }
if [ ! -t 1 ]; then say() { printf '[setup] %s\n' "$*"; }; fi
die() { printf '[setup] error: %s\n' "$1" >&2; shift; for line in "$@"; do printf '        %s\n' "$line" >&2; done; exit 1; }

# --- Node -------------------------------------------------------------------------------------
command -v node >/dev/null || die "Node.js is missing." "mvm needs Node 20.19 or later: https://nodejs.org/en/download"
read -r node_major node_minor node_version <<<"$(node -p 'const [a,b]=process.versions.node.split(".");a+" "+b+" "+process.version')"
if [ "$node_major" -lt 20 ] || { [ "$node_major" -eq 20 ] && [ "$node_minor" -lt 19 ]; }; then
  die "Node $node_version is too old: mvm needs 20.19 or later." "Install a newer one (https://nodejs.org/en/download) and run this again."
fi

# --- host tools -------------------------------------------------------------------------------
# command : Debian package : Fedora/RHEL : Arch
tools='
qemu-system-x86_64:qemu-system-x86:qemu-system-x86-core:qemu-system-x86
nft:nftables:nftables:nftables
conntrack:conntrack:conntrack-tools:conntrack-tools
ip:iproute2:iproute:iproute2
mkfs.ext4:e2fsprogs:e2fsprogs:e2fsprogs
busybox:busybox-static:busybox:busybox
cpio:cpio:cpio:cpio
modprobe:kmod:kmod:kmod
zstd:zstd:zstd:zstd
unshare:util-linux:util-linux-core:util-linux
setpriv:util-linux:util-linux-core:util-linux
useradd:passwd:shadow-utils:shadow
dpkg-deb:dpkg:dpkg:dpkg
iptables-nft:iptables:iptables-nft:iptables-nft
mmdebstrap:mmdebstrap:mmdebstrap:mmdebstrap
faketime:faketime:libfaketime:libfaketime
systemd-sysusers:systemd:systemd:systemd
ping:iputils-ping:iputils:iputils
prlimit:util-linux:util-linux-core:util-linux
skopeo:skopeo:skopeo:skopeo
umoci:umoci:umoci:umoci
curl:curl:curl:curl
pip3:python3-pip:python3-pip:python-pip
gcc:gcc:gcc:gcc
musl-gcc:musl-tools:musl-gcc:musl
fsck.erofs:erofs-utils:erofs-utils:erofs-utils
tmux:tmux:tmux:tmux
'
# Tools of root are looked up in root's directories too, so that the check is the same without root.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# The guest's first program runs without any library, so a dynamically linked busybox will not do.
busybox_is_static() {
  local linked
  linked=$(LC_ALL=C ldd "$(command -v busybox)" 2>&1 || true)
  [[ $linked == *'not a dynamic executable'* || $linked == *'statically linked'* ]]
}
has() {
  command -v "$1" >/dev/null || return 1
  [ "$1" != busybox ] || busybox_is_static
}

missing=() debian=() fedora=() arch=()
while IFS=: read -r tool deb rpm pac; do
  [ -n "$tool" ] || continue
  if ! has "$tool"; then
    missing+=("$tool") debian+=("$deb") fedora+=("$rpm") arch+=("$pac")
  fi
done <<<"$tools"
unique() { printf '%s\n' "$@" | sort -u | tr '\n' ' ' | sed 's/ $//'; }

if [ ${#missing[@]} -gt 0 ]; then
  [ "$(uname -sm)" = 'Linux x86_64' ] || die "mvm runs on Linux on x86-64 (this is $(uname -sm))."
  distribution=unknown like='' pretty=unknown
  if [ -r /etc/os-release ]; then
    read -r distribution like <<<"$(. /etc/os-release && echo "${ID:-unknown} ${ID_LIKE:-}")"
    pretty=$(. /etc/os-release && echo "${PRETTY_NAME:-$distribution}")
  fi
  packages=$(unique "${debian[@]}")
  if [ "$distribution" != debian ]; then
    hint="Fedora, RHEL: dnf install $(unique "${fedora[@]}")"
    [[ " $distribution $like " == *' arch '* ]] && hint="Arch: pacman -S $(unique "${arch[@]}")"
    [[ " $like " == *' debian '* ]] && hint="Here: sudo apt-get install $packages"
    die "missing on this machine: ${missing[*]}" \
      "Packages are installed automatically on Debian only; this is $pretty." "$hint" \
      "(busybox must be statically linked; the guest's kernel is a Debian package, fetched but never installed)"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    die "missing on this machine: ${missing[*]}" "Run this as root once, or: sudo apt-get install $packages"
  fi
  say "installing $packages"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  install_packages() {
    # shellcheck disable=SC2086  # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >"$log" 2>&1
  }
  update_lists() {
    say 'reading the package lists (apt-get update)'
    apt-get update -q >>"$log" 2>&1
  }
  # The lists are read only when there are none, or when what they name is no longer there.
  compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || update_lists || { tail -n 15 "$log" >&2; die 'apt-get update failed (its last lines are above).'; }
  install_packages || { update_lists && install_packages; } || {
    tail -n 15 "$log" >&2
    die "apt-get install failed (its last lines are above)." "Try it by hand: apt-get install $packages"
  }
  rm -f "$log"
  trap - EXIT
  for tool in "${missing[@]}"; do
    has "$tool" || die "$tool is still missing after installing $packages."
  done
fi

# --- package lists ----------------------------------------------------------------------------
# The guest image's kernel is looked up in them.
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
  say 'reading the package lists (apt-get update)'
  apt-get update -q >/dev/null 2>&1 || say 'apt-get update failed: the guest image cannot be built before it succeeds'
fi

# --- JavaScript dependencies ------------------------------------------------------------------
stamp=node_modules/.mvm-setup
fingerprint=$({ echo "$node_version"; cat pnpm-lock.yaml pnpm-workspace.yaml package.json apps/*/package.json packages/*/package.json scripts/*/package.json tests/*/package.json; } | sha256sum | cut -d' ' -f1)
if [ ! -x node_modules/.bin/turbo ] || [ "$(cat "$stamp" 2>/dev/null)" != "$fingerprint" ]; then
  say 'installing the JavaScript dependencies (pnpm)'
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! CI=1 scripts/pnpm.sh install --frozen-lockfile --reporter=append-only >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die 'pnpm install failed (its last lines are above).'
  fi
  rm -f "$log"
  trap - EXIT
  for command in mvm mvm-hostd mvm-agentd; do
    [ -x "node_modules/.bin/$command" ] || die "node_modules/.bin/$command is missing after pnpm install."
  done
  echo "$fingerprint" >"$stamp"
fi
[ "$quiet" -eq 1 ] || say "ready (Node $node_version)"
