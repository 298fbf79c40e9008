/** Where hostd listens by default: mode 0660, owner root, group `mvm`. Source: docs/protocol.md. */
export const HOSTD_SOCKET_PATH = '/run/mvm/hostd.sock';
/** Where agentd's HTTP API listens by default. */
export const AGENTD_SOCKET_PATH = '/run/mvm/agentd.sock';
/** Root of hostd's state tree. */
export const STATE_DIR = '/var/lib/mvm';
/** Largest frame body in bytes, both directions. Checked before anything is allocated. */
export const MAX_FRAME_BYTES = 1_048_576;
