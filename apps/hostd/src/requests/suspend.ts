import type { RequestHandler } from './handler.js';
import { parseInstanceAddress } from './ids.js';

export const sleepInstance: RequestHandler<'SleepInstance'> = async (request, { instances }, context) => {
  const drainTimeoutSecs = request.drain_timeout_secs ?? null;
  await instances.sleep(parseInstanceAddress(request), { force: request.force, drainTimeoutSecs }, context);
  return { type: 'Ok' };
};

export const wakeInstance: RequestHandler<'WakeInstance'> = async (request, { instances }, context) => {
  await instances.wake(parseInstanceAddress(request), context);
  return { type: 'Ok' };
};

export const warmInstance: RequestHandler<'WarmInstance'> = async (request, { instances }, context) => {
  await instances.warm(parseInstanceAddress(request), context);
  return { type: 'Ok' };
};

export const resumeInstance: RequestHandler<'ResumeInstance'> = async (request, { instances }, context) => {
  await instances.resume(parseInstanceAddress(request), context);
  return { type: 'Ok' };
};
