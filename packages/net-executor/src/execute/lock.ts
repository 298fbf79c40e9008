/** Runs tasks one at a time, in order of arrival; a task that fails does not stop the next. */
export interface Lock {
  run<T>(task: () => Promise<T>): Promise<T>;
}

/** A lock within this process. */
export function createLock(): Lock {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run<T>(task: () => Promise<T>): Promise<T> {
      const result = last.then(task, task);
      last = result.catch(() => undefined);
      return result;
    },
  };
}
