import type { BaseTable } from './base-table.js';
import { BRIDGE_TABLE } from './bridge-table.js';
import { INET_TABLE } from './inet-table.js';

/** The name of both our tables. */
export const TABLE_NAME = 'mvm';

/** Our tables, without elements. */
export const BASE_TABLES: readonly BaseTable[] = [BRIDGE_TABLE, INET_TABLE];
