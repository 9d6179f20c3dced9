/** Cgroups of containers that were removed before their containers are: they need not be removed again. */
import { driverLimits } from '../bounds.ts';

/**
 * Only a cache: of a cgroup that is not in it, as after a restart, the kernel is asked. Nothing makes a container's
 * cgroup again once its state is deleted, since ids are not used twice.
 */
export class RemovedCgroups {
  readonly #paths = new Set<string>();

  /** The oldest one is forgotten when there are `driverLimits.removedCgroups` already. */
  add(path: string): void {
    const [oldest] = this.#paths;
    if (oldest !== undefined && this.#paths.size >= driverLimits.removedCgroups) this.#paths.delete(oldest);
    this.#paths.add(path);
  }

  /** Whether it was removed; forgets it, so that an effect that is repeated asks the kernel. */
  take(path: string): boolean {
    return this.#paths.delete(path);
  }
}
