export { createGroupLookup, type GroupMembers } from './account-files.js';
export { checkPeerCredentials, type PeerCredentials, readPeerCredentials } from './peer-credentials.js';
