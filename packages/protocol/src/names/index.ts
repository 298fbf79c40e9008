export {
  DEFAULT_CLUSTER_CIDR,
  FIRST_INSTANCE_IP_OFFSET,
  LAST_INSTANCE_IP_OFFSET,
  MAX_TENANT_NET_ID,
  RESERVED_IP_OFFSET,
} from './constants.js';
export { generateInstanceId, isValidId, parseInstanceId, parsePoolId, parseTenantId } from './ids.js';
export {
  cidrContains,
  cidrOverlaps,
  formatIpv4,
  formatIpv4Cidr,
  type Ipv4Cidr,
  parseIpv4,
  parseIpv4Cidr,
} from './ipv4.js';
export { macAddress, parseBridgeName, parseTapName, tapName } from './link-names.js';
export {
  checkTenantNet,
  deriveTenantNet,
  instanceIp,
  lastInstanceIpOffset,
  reservedIp,
} from './tenant-net-check.js';
