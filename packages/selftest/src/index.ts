export type { CaseResult, Selection, SelftestEvent, SelftestImage, SelftestOptions } from './events.js';
export { launchSelftest, requireRoot } from './outside/launch.js';
export { MOMENTS, type PivotRow, pivotResults } from './outside/pivot.js';
