/** One finished stage, in the order in which they ran. */
export interface Stage {
  readonly name: string;
  readonly seconds: number;
}

/** Times stages and tells about them on stdout, one line each. */
export interface Stages {
  /** Runs one stage; its time counts even when it fails. The line's text after the name is what `work` resolves to. */
  run<T>(name: string, work: () => Promise<T>, describe?: (result: T) => string): Promise<T>;
  readonly finished: readonly Stage[];
}

/**
 * @param earlier stages that ran before this process, as `name=seconds,name=seconds`
 * @param write gets whole lines
 */
export function createStages(earlier: string, write: (line: string) => void): Stages {
  const finished: Stage[] = parseStages(earlier);
  for (const stage of finished) write(renderStage(stage, ''));
  return {
    finished,
    async run(name, work, describe = () => '') {
      const startedMs = performance.now();
      let text = 'failed';
      try {
        const result = await work();
        text = describe(result);
        return result;
      } finally {
        const stage = { name, seconds: (performance.now() - startedMs) / 1000 };
        finished.push(stage);
        write(renderStage(stage, text));
      }
    },
  };
}

/** The stages and their sum as an aligned table. */
export function renderStageTable(stages: readonly Stage[]): string {
  const total = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  return [...stages, { name: 'total', seconds: total }]
    .map(({ name, seconds }) => `  ${name.padEnd(22)}${seconds.toFixed(2).padStart(8)} s`)
    .join('\n');
}

function renderStage(stage: Stage, text: string): string {
  return `  ${stage.name.padEnd(22)}${stage.seconds.toFixed(2).padStart(8)} s   ${text}`.trimEnd();
}

function parseStages(text: string): Stage[] {
  return text
    .split(',')
    .map((pair) => pair.split('='))
    .flatMap(([name, seconds]) =>
      name !== undefined && name !== '' && Number.isFinite(Number(seconds))
        ? [{ name, seconds: Number(seconds) }]
        : [],
    );
}
