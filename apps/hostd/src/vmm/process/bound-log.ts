/** Keeps a log that a VMM appends to below its limit, until `release`. */
export type BoundLog = (path: string) => { release(): void };

/** For a driver whose logs need no bound. */
export const noBound: BoundLog = () => ({ release: () => {} });
