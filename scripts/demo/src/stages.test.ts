import { expect, test } from 'vitest';
import { createStages, renderStageTable } from './stages.js';

test('stages of the shell script come first, and a failed stage keeps its time', async () => {
  const lines: string[] = [];
  const stages = createStages('set-up=1.5,build=0.25,=x', (line) => lines.push(line));
  expect(
    await stages.run(
      'hostd',
      async () => 7,
      (pid) => `process ${pid}`,
    ),
  ).toBe(7);
  await expect(
    stages.run('agentd', async () => {
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(stages.finished.map(({ name }) => name)).toEqual(['set-up', 'build', 'hostd', 'agentd']);
  expect(lines[2]).toMatch(/^ {2}hostd +\d+\.\d\d s {3}process 7$/);
  expect(lines[3]).toMatch(/failed$/);
  expect(renderStageTable(stages.finished.slice(0, 2)).split('\n').at(-1)).toMatch(/total +1\.75 s/);
});
