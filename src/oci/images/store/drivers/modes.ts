/** Modes of directories that the drivers create. */

export const PRIVATE_MODE = 0o700;
/** The container's `/` if no layer has an entry for it. */
export const ROOT_MODE = 0o755;
/** Others may traverse the directory but not list it. */
export const PASSABLE_MODE = 0o711;
