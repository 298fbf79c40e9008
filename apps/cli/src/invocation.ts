import type { OptionValues } from 'commander';
import type { OutputFormat } from './output-format.js';

/** The arguments and options of one call, read by name with their types checked. */
export class Invocation {
  readonly format: OutputFormat;
  readonly #operands: readonly unknown[];
  readonly #options: OptionValues;

  constructor(operands: readonly unknown[], options: OptionValues, format: OutputFormat) {
    this.#operands = operands;
    this.#options = options;
    this.format = format;
  }

  /** The argument at `index` that the command declared as mandatory. */
  operand(index: number): string {
    const value = this.#operands[index];
    if (typeof value !== 'string') throw new TypeError(`argument ${index} is not declared as mandatory`);
    return value;
  }

  /** The argument at `index` when it was given. */
  optionalOperand(index: number): string | undefined {
    const value = this.#operands[index];
    return typeof value === 'string' ? value : undefined;
  }

  /** All values of the variadic argument at `index`. */
  operands(index: number): string[] {
    const value = this.#operands[index];
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
  }

  flag(name: string): boolean {
    return this.#options[name] === true;
  }

  /** Whether a `--no-<name>` option was given. */
  isOff(name: string): boolean {
    return this.#options[name] === false;
  }

  text(name: string): string | undefined {
    const value: unknown = this.#options[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** An option that its parser turned into a `T`. */
  value<T extends object>(name: string): T | undefined {
    const value: unknown = this.#options[name];
    return typeof value === 'object' && value !== null ? (value as T) : undefined;
  }

  /** An option that its parser turned into a number. */
  number(name: string): number | undefined {
    const value: unknown = this.#options[name];
    return typeof value === 'number' ? value : undefined;
  }
}
