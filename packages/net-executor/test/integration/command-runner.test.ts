import { describe, expect, it } from 'vitest';
import { commandError } from '../../src/command/command-error.js';
import { createCommandRunner, type Program } from '../../src/command/command-runner.js';

const runner = createCommandRunner();

describe('createCommandRunner', () => {
  it('gives stdin to the program and its output back', async () => {
    const result = await runner.run('ip', ['-batch', '-'], 'link show dev lo\n');
    expect(result).toMatchObject({ exitCode: 0, stderr: '', failure: null });
    expect(result.stdout).toContain('lo:');
  });

  it('tells the exit code and stderr of a program that fails', async () => {
    const result = await runner.run('ip', ['-batch', '-'], 'link show dev lo\nlink show dev no-such-link\n');
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain('Command failed -:2');
  });

  it('survives a program that ends without reading its stdin', async () => {
    const result = await runner.run('ip', ['-Version'], 'x'.repeat(1_000_000));
    expect(result).toMatchObject({ exitCode: 0, failure: null });
  });

  it('prepares a program, which waits for its stdin, and can be let go', async () => {
    const waiting = runner.prepare?.('ip', ['-batch', '-']);
    const unneeded = runner.prepare?.('ip', ['-batch', '-']);
    unneeded?.cancel();
    await new Promise((done) => setTimeout(done, 50));
    const result = await waiting?.run('link show dev lo\n');
    expect(result).toMatchObject({ exitCode: 0, stderr: '', failure: null });
    expect(result?.stdout).toContain('lo:');
  });

  it('tells a program that is missing, with the package to install', async () => {
    const missing = 'no-such-program' as Program;
    const result = await runner.run(missing, [], '');
    expect(result).toMatchObject({ exitCode: null, failure: 'ENOENT' });
    expect(commandError('nft', 'loading the filter', result)).toMatchObject({
      code: 'failed_precondition',
      reason: 'net.tool_missing',
      hint: 'Install the package nftables.',
    });
  });
});
