/**
 * Users of images that were resolved before. passwd and group of a new container are those of its image, whose id is
 * the digest of its content; reading them takes fourteen calls in the thread pool.
 */
import { specLimits } from '../../bounds.ts';
import type { ImageId } from '../../../../base/ids.ts';
import type { UserChoice } from '../../../../ports/specs.ts';
import type { ResolvedUser } from '../../spec/input.ts';

/** What the user depends on. */
export interface UserRequest {
  readonly imageId: ImageId;
  /** The user of the image's configuration. */
  readonly imageUser: string;
  readonly choice: UserChoice;
}

export class KnownUsers {
  readonly #users = new Map<string, ResolvedUser>();

  /** The user of an earlier container with the same request, or what `resolve` finds; a failure is not kept. */
  async of(
    { imageId, imageUser, choice }: UserRequest,
    resolve: () => Promise<ResolvedUser>,
  ): Promise<ResolvedUser> {
    const key = JSON.stringify([
      imageId,
      imageUser,
      choice.runAsUser,
      choice.runAsUsername,
      choice.runAsGroup,
      choice.supplementalGroups,
      choice.supplementalGroupsPolicy,
    ]);
    const known = this.#users.get(key);
    if (known !== undefined) return known;
    const user = await resolve();
    // images and requests choose how much that is
    const isSmall =
      key.length <= specLimits.knownUserChars && user.additionalGids.length <= specLimits.knownUserGroups;
    if (isSmall && user.home.length <= specLimits.knownUserChars) this.#keep(key, user);
    return user;
  }

  #keep(key: string, user: ResolvedUser): void {
    if (this.#users.size >= specLimits.knownUsers) this.#users.clear();
    this.#users.set(key, user);
  }
}
