#!/usr/bin/env bash
# koffi 3.3.4 (npm): numbers that do not fit the C type wrap in silence, NaN becomes 0, and a missing field becomes 0.
#
# Needs: node, npm, glibc.
# Expected by most: a binding that knows the type, as Python's struct or a typed array setter with checks, throws.
# Seen: 4294967296 passed as uint32_t is 0, 300 in a uint8_t field is 44, NaN and 1.9 passed as int are 0 and 1. A field
# that is left out of a struct is written as 0. A string ends at its first NUL. A uint64_t comes back as number or as
# bigint, by its size. An undefined number throws, so the author sees type errors and believes that ranges are checked.
# A uid of 4294967296 would be root's.
# For mvm: calls into the C library get descriptors, constants and buffers that hostd made, and no number of a caller.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund koffi@3.3.4
cat >run.mjs <<'JS'
import koffi from 'koffi';
const libc = koffi.load('libc.so.6');
const htonl = libc.func('uint32_t htonl(uint32_t)');
const abs = libc.func('int abs(int)');
const strlen = libc.func('size_t strlen(const char *)');
const strtoull = libc.func('uint64_t strtoull(const char *, void *, int)');
const show = (what, work) => { let got; try { got = work(); } catch { got = 'throws'; } console.log(`${what}: ${got}`); };
show('uint32_t 4294967296', () => htonl(2 ** 32));
show('int 2147483648', () => abs(2 ** 31));
show('int NaN', () => abs(Number.NaN));
show('int 1.9', () => abs(1.9));
show('int undefined', () => abs(undefined));
show('string with NUL', () => strlen('ab\0cd'));
const Pair = koffi.struct('Pair', { a: 'uint8_t', b: 'uint8_t' });
const bytes = Buffer.alloc(2, 7);
koffi.encode(bytes, Pair, { a: 300 });
console.log(`uint8_t 300, field left out: ${[...bytes]}`);
console.log(`uint64_t: ${typeof strtoull('9007199254740991', null, 10)}, ${typeof strtoull('9007199254740993', null, 10)}`);
JS
node run.mjs >seen
cat seen
diff - seen <<'END'
uint32_t 4294967296: 0
int 2147483648: -2147483648
int NaN: 0
int 1.9: 1
int undefined: throws
string with NUL: 2
uint8_t 300, field left out: 44,0
uint64_t: number, bigint
END
echo 'as described: koffi 3.3.4 wraps numbers'
