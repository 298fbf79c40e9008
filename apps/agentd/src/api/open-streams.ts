/** The instances into which a stream is open through this agentd, by `tenant/pool/instance`. */
export class OpenStreams {
  readonly #counts = new Map<string, number>();

  /** One more stream; call what is returned when it has ended. */
  opened(address: string): () => void {
    this.#counts.set(address, this.countOf(address) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = this.countOf(address) - 1;
      if (left > 0) this.#counts.set(address, left);
      else this.#counts.delete(address);
    };
  }

  countOf(address: string): number {
    return this.#counts.get(address) ?? 0;
  }

  instances(): ReadonlySet<string> {
    return new Set(this.#counts.keys());
  }
}
