import type { BaseTable } from '../base-tables/base-table.js';
import { BASE_TABLES, TABLE_NAME } from '../base-tables/base-tables.js';
import { commandError } from '../command/command-error.js';
import type { CommandRunner } from '../command/command-runner.js';
import { asArray, asRecord, asText } from './json.js';

/** A drop counter of ours as it stands. Counts begin at zero when the tables are loaded whole. */
export interface DropCount {
  readonly family: BaseTable['family'];
  readonly name: string;
  readonly packets: number;
  readonly bytes: number;
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;
}

/** The counters in what `nft -j list counters` says. Source: libnftables-json(5), "COUNTER". */
function parseDropCounts(family: BaseTable['family'], stdout: string): DropCount[] {
  return asArray(asRecord(JSON.parse(stdout)).nftables)
    .map((object) => asRecord(asRecord(object).counter))
    .filter((counter) => counter.family === family && counter.table === TABLE_NAME)
    .map(({ name, packets, bytes }) => ({
      family,
      name: asText(name),
      packets: count(packets),
      bytes: count(bytes),
    }));
}

/**
 * Every drop counter that the base tables define, bridge before inet, in the order of their definition; those of a table
 * that is not loaded are left out. Reads only. Throws `permission_denied`, reason `net.not_permitted`, and
 * `failed_precondition`, reason `net.tool_missing`.
 */
export async function readDropCounts(runner: CommandRunner): Promise<DropCount[]> {
  const listings = await Promise.all(
    BASE_TABLES.map(async ({ family, counters }) => {
      const result = await runner.run('nft', ['-j', 'list', 'counters', 'table', family, TABLE_NAME], '');
      if (result.exitCode !== 0) {
        if (/No such file or directory/.test(result.stderr)) return [];
        throw commandError('nft', 'listing the counters', result);
      }
      const found = new Map(parseDropCounts(family, result.stdout).map((each) => [each.name, each]));
      return counters.flatMap((name) => found.get(name) ?? []);
    }),
  );
  return listings.flat();
}
