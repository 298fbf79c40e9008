/** The daemons that `pnpm dev` runs, in the order in which they are restarted. */
const DAEMONS = [
  { daemon: 'hostd', name: '@mvm/hostd' },
  { daemon: 'agentd', name: '@mvm/agentd' },
];

/**
 * Which daemons use one of the changed packages, directly or through others.
 * @param {{ name: string, dependencies: string[] }[]} packages
 * @param {ReadonlySet<string>} changed names
 * @returns {('hostd' | 'agentd')[]}
 */
export function daemonsUsing(packages, changed) {
  const dependencies = new Map(packages.map((entry) => [entry.name, entry.dependencies]));
  /** @param {string} name @param {Set<string>} seen @returns {boolean} */
  const uses = (name, seen) => {
    if (changed.has(name)) return true;
    seen.add(name);
    return (dependencies.get(name) ?? []).some((next) => !seen.has(next) && uses(next, seen));
  };
  return /** @type {('hostd' | 'agentd')[]} */ (
    DAEMONS.filter(({ name }) => uses(name, new Set())).map(({ daemon }) => daemon)
  );
}
