/** Permissions of what the drivers make. */

export const PRIVATE_MODE = 0o700;
/** The container's `/` where no layer says anything about it. */
export const ROOT_MODE = 0o755;
/** Everybody may pass, nobody may look. */
export const PASSABLE_MODE = 0o711;
