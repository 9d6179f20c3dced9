/** What the clients were told, kept over every crash: the third view beside records and kernel (reliability.md B). */

export class History {
  /** Ids that a client was handed and nobody has asked to remove. */
  readonly sandboxes = new Set<string>();
  readonly containers = new Map<string, { readonly sandboxId: string }>();
  /** Ids whose removal somebody asked for: from then on they may be gone, whatever another call is answered. */
  readonly #unwanted = new Set<string>();
  readonly started = new Set<string>();
  readonly stopped = new Set<string>();
  readonly stoppedSandboxes = new Set<string>();
  readonly removed = new Set<string>();
  /** Image ids that a pull was answered with and nobody has asked to remove since. */
  readonly images = new Set<string>();
  /** References whose removal was answered and that nobody has pulled since. */
  readonly removedImages = new Set<string>();
  /** Failures that clients saw and that no right daemon gives. */
  readonly wrongs: string[] = [];
  readonly notes: string[] = [];
  #pulls = 0;
  #pullsBegun = 0;
  #removals = 0;
  #removalsBegun = 0;

  note(text: string): void {
    this.notes.push(text);
  }

  /** Processes are gone with the power: what ran has ended, whatever was said. */
  powerLost(): void {
    this.note('power lost');
  }

  /** Somebody asked for the removal of one of these. */
  isUnwanted(...ids: readonly string[]): boolean {
    return ids.some((id) => this.#unwanted.has(id));
  }

  ran(id: string): void {
    if (!this.#unwanted.has(id)) this.sandboxes.add(id);
  }

  created(id: string, sandboxId: string): void {
    if (!this.#unwanted.has(id) && this.sandboxes.has(sandboxId)) this.containers.set(id, { sandboxId });
  }

  askedToRemoveContainer(id: string): void {
    this.#unwanted.add(id);
    this.containers.delete(id);
    this.started.delete(id);
    this.stopped.delete(id);
  }

  askedToRemoveSandbox(id: string): void {
    this.#unwanted.add(id);
    this.sandboxes.delete(id);
    this.stoppedSandboxes.delete(id);
    for (const [container, { sandboxId }] of this.containers) if (sandboxId === id) this.askedToRemoveContainer(container);
  }

  /** A pull begins; the returned function takes its answer. Only a pull that no removal overlapped promises anything. */
  pull(): (imageId: string | undefined) => void {
    this.removedImages.clear();
    this.#pulls += 1;
    this.#pullsBegun += 1;
    const alone = this.#removals === 0;
    const before = this.#removalsBegun;
    return (imageId) => {
      this.#pulls -= 1;
      if (imageId !== undefined && alone && this.#removalsBegun === before) this.images.add(imageId);
    };
  }

  /** The same for a removal. */
  removal(): (reference: string | undefined) => void {
    this.images.clear();
    this.#removals += 1;
    this.#removalsBegun += 1;
    const alone = this.#pulls === 0;
    const before = this.#pullsBegun;
    return (reference) => {
      this.#removals -= 1;
      if (reference !== undefined && alone && this.#pullsBegun === before) this.removedImages.add(reference);
    };
  }
}
