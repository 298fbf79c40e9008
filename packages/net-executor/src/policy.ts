/**
 * What a guest may reach outside its tenant. `none`: nothing; `internet`: public addresses only, private ranges and
 * link-local blocked; `open`: whatever the uplinks reach.
 */
export type EgressVerdict = 'none' | 'internet' | 'open';

/** What applies to a tenant that says nothing else. */
export const DEFAULT_EGRESS: EgressVerdict = 'internet';
